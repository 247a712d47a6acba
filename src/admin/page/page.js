(() => {
  const by = id => document.getElementById(id);
  const SVG = 'http://www.w3.org/2000/svg';
  // Samples of two seconds each: a plot begins with a minute, and grows to four.
  const FEWEST = 30, SAMPLES = 120;
  // Beats come every two seconds; without one for so long, the connection is taken for lost.
  const PATIENCE = 7000;
  const AGAIN = 2000;

  const make = (tag, fields = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(fields)) {
      if (name === 'tone') element.dataset.tone = value;
      else if (name in element && name !== 'role') element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const draw = (tag, fields = {}, ...children) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(fields)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const say = (element, text, tone = '') => { element.dataset.tone = tone; put(element, text.replaceAll('`', '')); };

  // What is known.
  let status = null, skew = 0, samples = [], totals = {}, heard = 0, uptime = 0;
  const now = () => Date.now() + skew;
  const at = moment;
  const ago = when => `${span(now() - when)} ago`;
  const when = time => clock(time, now());

  // Text in which commands stand between backticks.
  const marked = text => text.split('`').flatMap((part, nth) => {
    if (nth % 2 === 0) return part ? [nth || !/^[a-z]+ /.test(part) ? part : part[0].toUpperCase() + part.slice(1)] : [];
    const code = make('code', {}, part);
    if (!part.startsWith('bearerd ')) return [code];
    const copy = make('button', { type: 'button', title: `Copy “${part}”` }, 'Copy');
    copy.addEventListener('click', async () => {
      try { await navigator.clipboard.writeText(part); put(copy, 'Copied'); }
      catch { getSelection().selectAllChildren(code); put(copy, 'Selected'); }
      setTimeout(() => put(copy, 'Copy'), 1500);
    });
    return [make('span', { className: 'command' }, code, copy)];
  });
  const fill = (element, key, children) => {
    if (element.dataset.shown === key) return;
    element.dataset.shown = key;
    element.replaceChildren(...children());
  };

  const act = async (method, path, body = {}) => {
    try {
      const answer = await fetch(path, { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
      const text = await answer.json();
      return { ok: answer.ok, code: answer.headers.get('x-bearerd-error'), detail: text.detail ?? '', text };
    } catch {
      return { ok: false, code: '', detail: 'bearerd gave no answer' };
    }
  };

  // Credentials.
  const cards = new Map(), plain = new Map();
  const cardOf = name => cards.get(name) ?? plain.get(name);
  const card = name => {
    const it = {};
    it.box = make('article', { className: 'card', id: `credential-${name}`, 'aria-labelledby': `title-${name}` },
      make('div', { className: 'top' },
        make('h3', { id: `title-${name}` }, name),
        it.state = make('p', { className: 'state' }, make('span', { className: 'sign', 'aria-hidden': 'true' }), it.words = make('span'))),
      it.about = make('p', { className: 'about' }),
      it.flags = make('div', { className: 'flags' }),
      it.token = make('div', {},
        make('p', { className: 'left' }, it.left = make('b'), it.leftWords = make('span')),
        it.life = make('div', { className: 'life', role: 'img' }, it.used = make('div', { className: 'used' }), it.due = make('div', { className: 'due' })),
        make('p', { className: 'ends' }, it.since = make('span'), it.renews = make('span'))),
      it.trouble = make('div', { className: 'trouble' }),
      it.dies = make('p', { className: 'about' }),
      it.recent = make('ol', { className: 'history', 'aria-label': `What happened lately to ${name}` }),
      it.more = make('details', {}, it.summary = make('summary'), it.older = make('ol', { className: 'history' })),
      make('div', { className: 'foot' },
        it.where = make('p', { className: 'where' }),
        it.renew = make('button', { type: 'button', 'aria-label': `Renew now: ${name}` }, 'Renew now'),
        it.said = make('p', { className: 'said', id: `said-${name}`, role: 'status' })));
    it.renew.addEventListener('click', async () => {
      it.renew.disabled = true;
      say(it.said, 'Asking for a token …');
      const { ok, code, detail } = await act('POST', `credentials/${name}/refresh`);
      say(it.said, detail, ok ? '' : code === 'not_possible' ? 'warn' : 'bad');
      it.renew.disabled = false;
    });
    return it;
  };
  const happened = event => {
    const [tone, words] = EVENTS[event.what] ?? ['quiet', () => event.what];
    const place = event.chain ? `${event.chain}.${event.generation}` : '';
    const times = event.times > 1 ? `, ${event.times} times` : '';
    return make('li', { tone },
      make('time', { className: 'at', dateTime: event.at }, when(at(event.at))),
      make('span', { className: 'what' }, (words(event.why) ?? event.what) + times),
      make('span', { title: 'chain.generation' }, place));
  };
  const RECENT = 3;
  const show = (it, credential) => {
    const { last_error: error, what_to_do: help, events } = credential;
    const flags = [];
    if (credential.required) flags.push(['', 'required']);
    if (credential.unsaved) flags.push(['warn', 'not saved']);
    if (credential.in_doubt) flags.push(['warn', 'in doubt']);
    fill(it.flags, JSON.stringify(flags), () => flags.map(([tone, words]) => make('span', { className: 'flag', tone }, words)));
    it.trouble.hidden = !error && !help;
    fill(it.trouble, JSON.stringify([error, help]), () => [
      ...error ? [make('p', {}, ...marked(error.text), make('span', { className: 'quiet' }, ` (since ${when(at(error.at))})`))] : [],
      ...help ? [make('p', { className: 'help' }, ...marked(help))] : [],
    ]);
    fill(it.recent, JSON.stringify(events.slice(0, RECENT)), () => events.slice(0, RECENT).map(happened));
    it.more.hidden = events.length <= RECENT;
    put(it.summary, `${events.length - RECENT} earlier`);
    fill(it.older, JSON.stringify(events.slice(RECENT)), () => events.slice(RECENT).map(happened));
    it.recent.hidden = !events.length;
    put(it.where, credential.chain ? `generation ${credential.generation} of chain ${credential.chain}` : '');
    // Where only a sign-in helps, there is nothing to renew.
    it.renew.hidden = ['static', 'subjects'].includes(credential.state) || ['never_signed_in', 'dead', 'foreign'].includes(error?.code);
  };

  // What changes as time goes by.
  const pass = (it, credential) => {
    const [tone, words, about] = standing(credential, now());
    it.box.dataset.tone = it.state.dataset.tone = tone;
    put(it.words, words);
    const tries = at(credential.next_try);
    put(it.about, about + (tries > now() && !credential.usable ? ` Tried again in ${span(tries - now())}.` : ''));
    const [obtained, expires, renews, dies] = [credential.obtained, credential.expires, credential.next_renewal, credential.dies].map(at);
    const holds = obtained !== null && (credential.usable || expires !== null);
    it.token.hidden = !holds;
    put(it.dies, dies ? `${dies > now() ? `A person has to sign in by ${when(dies)} (in ${span(dies - now())}), unless it is renewed before.` : `Its grant ended at ${when(dies)}.`}` : '');
    if (!holds) return;
    put(it.since, `obtained ${ago(obtained)}`);
    it.life.hidden = expires === null;
    if (expires === null) {
      put(it.left, 'No expiry');
      put(it.leftWords, 'used until the API rejects it');
      put(it.renews, '');
      return;
    }
    const left = expires - now(), life = Math.max(1, expires - obtained);
    const share = moment => Math.min(100, Math.max(0, (moment - obtained) / life * 100));
    const over = left <= 0;
    put(it.left, over ? 'Expired' : span(left));
    put(it.leftWords, over ? ago(expires) : 'until it expires');
    it.life.toggleAttribute('data-over', over);
    it.used.style.width = `${share(now())}%`;
    it.due.hidden = renews === null;
    if (renews !== null) it.due.style.left = `${share(renews)}%`;
    const due = renews === null || over ? '' : renews > now() ? `renewal in ${span(renews - now())} if in use` : credential.last_error ? 'renewal is overdue' : 'renewal at its next use';
    put(it.renews, due);
    it.life.setAttribute('aria-label', over ? 'The token has expired' : `${Math.round(share(now()))} % of the token's life is over${renews === null ? '' : `; its renewal is planned at ${Math.round(share(renews))} %`}`);
  };

  // Routes.
  const rows = new Map();
  const plot = () => draw('svg', { class: 'plot', preserveAspectRatio: 'none', role: 'img' });
  const row = name => {
    const it = {};
    it.box = make('article', { className: 'route', 'aria-label': name === '-' ? 'no route' : `route ${name}` },
      make('div', { className: 'name' }, make('h3', {}, name === '-' ? 'no route' : name), it.total = make('p', { className: 'total' })),
      it.traffic = plot(), it.counts = make('p', { className: 'numbers of-traffic' }),
      it.time = plot(), it.times = make('p', { className: 'numbers of-time' }));
    const base = () => draw('line', { class: 'base', x1: 0, x2: '100%', y1: 36, y2: 36 });
    it.traffic.append(base(), it.ok = draw('path', { class: 'ok' }), it.refused = draw('path', { class: 'refused' }), it.failed = draw('path', { class: 'failed' }));
    it.time.append(base(), it.most = draw('path', { class: 'most' }), it.half = draw('path', { class: 'half' }));
    return it;
  };
  const bars = (values, floors, most) => values.map((value, nth) => {
    if (!value) return '';
    // What is there can be seen, however little it is.
    const height = Math.max(2, value / most * 34), floor = 36 - floors[nth];
    floors[nth] += height;
    return `M${nth + 0.1} ${floor}h.8v${-height}h-.8z`;
  }).join('');
  const plotRoute = (it, name) => {
    const each = samples.map(sample => sample.routes.find(route => route.route === name));
    const wide = Math.max(FEWEST, each.length), blank = wide - each.length;
    for (const plot of [it.traffic, it.time]) plot.setAttribute('viewBox', `0 0 ${wide} 36`);
    const values = pick => [...Array(blank).fill(0), ...each.map(route => route ? pick(route) : 0)];
    const [requests, refused, failed] = [values(r => r.requests), values(r => r.refused), values(r => r.failed)];
    const most = Math.max(4, ...requests), floors = Array(wide).fill(0);
    it.failed.setAttribute('d', bars(failed, floors, most));
    it.refused.setAttribute('d', bars(refused, floors, most));
    it.ok.setAttribute('d', bars(requests.map((all, nth) => all - refused[nth] - failed[nth]), floors, most));
    const [half, nearly] = [values(r => r.p50_ms ?? 0), values(r => r.p95_ms ?? 0)];
    const longest = Math.max(1, ...nearly), ground = () => Array(wide).fill(0);
    it.most.setAttribute('d', bars(nearly, ground(), longest));
    it.half.setAttribute('d', bars(half, ground(), longest));
    const sum = list => list.reduce((one, other) => one + other, 0);
    const [all, no, fails] = [sum(requests), sum(refused), sum(failed)];
    const latest = each.filter(Boolean).at(-1);
    const known = status.routes.find(route => route.name === name);
    const to = !known || known.upstream === name ? '' : `to ${known.upstream}, `;
    put(it.total, `${to}${(totals[name] ?? 0).toLocaleString('en')} since the start`);
    const key = JSON.stringify([all, no, fails, latest?.p50_ms, latest?.p95_ms]);
    fill(it.counts, key, () => !all ? ['no requests'] : [make('b', {}, all.toLocaleString('en')), all === 1 ? ' request' : ' requests',
      ...no ? [make('br'), make('span', { className: 'warn' }, `${no} refused`)] : [],
      ...fails ? [make('br'), make('span', { className: 'bad' }, `${fails} failed`)] : [],
      ...!no && !fails ? [make('br'), 'none failed'] : []]);
    fill(it.times, key, () => latest ? [make('b', {}, milliseconds(latest.p50_ms)), ' median', make('br'), `${milliseconds(latest.p95_ms)} at 95 %`] : []);
    it.traffic.setAttribute('aria-label', `lately: ${plural(all, 'request')}, ${no} refused, ${fails} failed`);
    it.time.setAttribute('aria-label', latest ? `lately: median ${milliseconds(latest.p50_ms)}, 95th percentile ${milliseconds(latest.p95_ms)}` : 'no requests lately');
  };
  const showRoutes = () => {
    if (!status) return;
    // Those that no route wanted come last. A route that is gone is told of for as long as it was used lately.
    const used = name => name === '-' || samples.some(sample => sample.routes.some(route => route.route === name));
    const names = [...new Set([...status.routes.map(route => route.name), ...Object.keys(totals).filter(used)])].sort((one, other) => (one === '-') - (other === '-') || one.localeCompare(other));
    keep(rows, names, row, by('routes'));
    for (const [name, it] of rows) plotRoute(it, name);
    const minutes = Math.round(Math.max(FEWEST, samples.length) / 30);
    put(by('window'), minutes === 1 ? 'the last minute' : `the last ${minutes} minutes`);
    by('no-routes').hidden = names.length > 0;
  };

  // Elements by name, made and removed as names come and go.
  const keep = (known, names, build, place) => {
    for (const name of [...known.keys()]) if (!names.includes(name)) { known.get(name).box.remove(); known.delete(name); }
    names.forEach((name, nth) => {
      if (!known.has(name)) known.set(name, build(name));
      const { box } = known.get(name);
      if (place.children[nth] !== box) place.insertBefore(box, place.children[nth] ?? null);
    });
  };

  // What needs attention, shortest first: each credential's own words are in its card.
  const notices = () => {
    const all = [];
    const { config, store, readiness } = status;
    if (readiness.status === 'draining') all.push({ tone: 'busy', title: 'It is draining.', text: readiness.reasons.join(' ') });
    if (config?.stale) all.push({ tone: 'bad', title: 'The config on disk is not in use, the one before it is.', text: `${config.stale} — mend it, and it is read again by itself; \`bearerd check\` shows every fault.` });
    if (store?.text) all.push({ tone: 'bad', title: `The store fails since ${when(at(store.failing_since))}.`, text: store.text });
    for (const it of status.credentials) {
      const [tone, words] = standing(it, now());
      if (tone === 'bad' || tone === 'warn' || it.what_to_do) all.push({ tone: tone === 'bad' ? 'bad' : 'warn', title: `${it.name}: ${words}.`, text: it.what_to_do ?? it.last_error?.text ?? '', name: it.name });
    }
    return all;
  };
  const announced = new Map();
  const showStatus = () => {
    const { readiness, config, store, log, credentials } = status;
    const [tone, words] = VERDICTS[readiness.status] ?? ['quiet', readiness.status];
    by('verdict').dataset.tone = tone;
    put(by('verdict-words'), words);
    const all = notices();
    fill(by('notices'), JSON.stringify(all), () => all.map(({ tone, title, text, name }) => make('li', { className: 'notice', tone },
      make('span', { className: 'sign', 'aria-hidden': 'true' }),
      make('p', {}, make('strong', {}, title), ' ', ...marked(text)),
      ...name ? [make('a', { href: `#credential-${name}` }, 'Show')] : [])));
    by('attention').hidden = !all.length;
    document.title = all.length ? `(${all.length}) bearerd` : 'bearerd';
    const usable = credentials.filter(it => it.usable).length;
    put(by('credentials-count'), `${plural(credentials.length, 'credential')}, ${usable} with a token`);
    const named = plain => credentials.filter(it => ['static', 'subjects'].includes(it.state) === plain).map(it => it.name);
    keep(cards, named(false), card, by('credentials'));
    keep(plain, named(true), card, by('plain'));
    const news = [];
    for (const it of credentials) {
      show(cardOf(it.name), it);
      const [, words] = standing(it, now());
      if (announced.has(it.name) && announced.get(it.name) !== words) news.push(`${it.name}: ${words}`);
      announced.set(it.name, words);
    }
    if (news.length) put(by('said'), news.join('. '));
    put(by('version'), status.version);
    put(by('store'), store ? `${store.kind}${store.text ? ', which fails' : store.kind === 'memory' ? ', until it ends' : ''}` : '–');
    put(by('config'), !config ? 'not read from files' : config.stale ? 'an older one than on disk' : 'as on disk');
    by('reload').hidden = !config;
    by('log').hidden = !log;
    if (log) {
      const input = by('level');
      input.placeholder = log.configured;
      if (input.dataset.shown !== log.level && document.activeElement !== input) input.value = input.dataset.shown = log.level;
      say(by('log-said'), log.level === log.configured ? 'as the config says' : `the config says ${log.configured}, which holds again after a restart`);
    }
    tick();
  };
  const tick = () => {
    if (!status || document.hidden) return;
    for (const it of status.credentials) { const known = cardOf(it.name); if (known) pass(known, it); }
    put(by('uptime'), span(uptime + (now() - heard)));
  };

  by('log').addEventListener('submit', async event => {
    event.preventDefault();
    const level = by('level').value.trim();
    const { ok, detail } = await act('PUT', 'log', { level });
    if (ok) by('level').blur(); else say(by('log-said'), detail, 'bad');
  });
  by('reload').addEventListener('click', async () => {
    const { ok, detail } = await act('POST', 'reload');
    say(by('program-said'), ok ? `Read: ${detail}.` : detail, ok ? '' : 'bad');
  });
  by('drain').addEventListener('click', async () => {
    const button = by('drain');
    if (!button.classList.toggle('sure')) {
      put(button, 'Drain');
      const { ok, detail } = await act('POST', 'drain');
      return say(by('program-said'), detail, ok ? '' : 'bad');
    }
    put(button, 'Drain: sure?');
    say(by('program-said'), '/readyz will say “draining”, so that no new requests are sent here. Only a restart takes it back.');
    setTimeout(() => { if (button.classList.contains('sure')) { button.classList.remove('sure'); put(button, 'Drain'); say(by('program-said'), ''); } }, 6000);
  });

  // The connection.
  let events = null, timer = 0, ended = false;
  const live = (words, fresh = words === null) => {
    by('link').toggleAttribute('data-live', words === null);
    document.body.toggleAttribute('data-lost', !fresh && status !== null);
    put(by('link'), words ?? 'live');
  };
  const alive = () => { clearTimeout(timer); timer = setTimeout(lost, PATIENCE); live(null); };
  // Without events it can still be looked at: others may have taken the places of all who watch.
  const look = async () => {
    try {
      const answer = await fetch('status');
      if (!answer.ok) return false;
      status = await answer.json();
      take(at(status.now));
      uptime = status.uptime_seconds * 1000;
      showStatus();
      return true;
    } catch {
      return false;
    }
  };
  const lost = async () => {
    clearTimeout(timer);
    events?.close();
    timer = setTimeout(connect, AGAIN);
    if (await look()) return live('not live: looking every two seconds', true);
    live(`${ended ? 'bearerd has ended' : 'connection lost'}${heard ? ` at ${when(heard)}` : ''}; trying again`);
  };
  const take = time => { heard = time; skew = time - Date.now(); };
  const connect = () => {
    events = new EventSource('events');
    timer = setTimeout(lost, PATIENCE);
    events.addEventListener('status', event => {
      status = JSON.parse(event.data);
      if (!heard) take(at(status.now));
      ended = false;
      alive();
      showStatus();
    });
    events.addEventListener('beat', event => {
      const beat = JSON.parse(event.data);
      take(beat.now);
      uptime = beat.uptime_seconds * 1000;
      totals = beat.totals;
      const newest = samples.at(-1)?.at ?? 0;
      samples = [...samples, ...beat.samples.filter(sample => sample.at > newest)].slice(-SAMPLES);
      ended = false;
      alive();
      if (!document.hidden) showRoutes();
    });
    events.addEventListener('end', () => { ended = true; lost(); });
    events.onerror = lost;
  };
  document.addEventListener('visibilitychange', () => { if (!document.hidden && status) { tick(); showRoutes(); } });
  setInterval(tick, 250);
  connect();
})();
