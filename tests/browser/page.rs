//! The pages.

/// Asked of the site, it makes the site's second address bearerd's.
pub(crate) const REBIND: &str = "/rebind";

/// Tries everything that a page can send to another origin. Each try has a path that ends in its name. It tells its
/// own site when every promise is settled, and leaves for bearerd with a navigation at the very end.
pub(crate) const ATTACK: &str = r#"<!doctype html><meta name="referrer" content="no-referrer"><body><script>
const proxy = 'http://localhost:PROXY/api/', admin = 'http://localhost:ADMIN/';
const tell = name => fetch('/told/' + name).catch(() => {});
const settled = [];
// Some refusals are no event: a frame that gets a download never loads.
const patience = new Promise(done => setTimeout(done, 5000));
const wait = promise => settled.push(Promise.race([promise, patience]).catch(() => {}));
window.onerror = (event, source, line) => tell('error-' + line);
const loaded = element => wait(new Promise(done => {
  element.onload = element.onerror = done;
  document.body.append(element);
}));
const make = (tag, fields) => Object.assign(document.createElement(tag), fields);
const post = (action, enctype, method = 'post') => {
  const name = 'frame' + Math.random();
  loaded(make('iframe', { name }));
  const form = make('form', { action, method, enctype, target: name });
  form.append(make('input', { name: 'a', value: 'b' }));
  document.body.append(form);
  form.submit();
};
for (const [at, own] of [[proxy, ''], [admin, 'admin-']]) {
  const to = name => at + own + name;
  wait(fetch(to('fetch-cors')));
  wait(fetch(to('fetch-no-cors'), { mode: 'no-cors' }));
  wait(fetch(to('fetch-credentials'), { mode: 'no-cors', credentials: 'include' }));
  wait(fetch(to('fetch-post-text'), { mode: 'no-cors', method: 'POST', body: '{"a":1}' }));
  wait(fetch(to('fetch-keepalive'), { mode: 'no-cors', method: 'POST', body: 'a', keepalive: true }));
  wait(fetch(to('fetch-head'), { mode: 'no-cors', method: 'HEAD' }));
  wait(fetch(to('fetch-put'), { method: 'PUT', body: '{}', headers: { 'content-type': 'application/json', 'x-own': '1' } }));
  wait(fetch(to('fetch-delete'), { method: 'DELETE' }));
  wait(fetch(to('fetch-post-json'), { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }));
  navigator.sendBeacon(to('beacon'), 'a');
  post(to('form-urlencoded'), 'application/x-www-form-urlencoded');
  post(to('form-text'), 'text/plain');
  post(to('form-multipart'), 'multipart/form-data');
  post(to('form-get'), '', 'get');
  loaded(make('img', { src: to('img') }));
  loaded(make('img', { src: to('img-cors'), crossOrigin: 'anonymous' }));
  loaded(make('img', { src: '/redirect?' + encodeURIComponent(to('img-redirected')) }));
  loaded(make('script', { src: to('script') }));
  loaded(make('script', { src: to('module'), type: 'module' }));
  loaded(make('link', { rel: 'stylesheet', href: to('style') }));
  loaded(make('iframe', { src: to('iframe') }));
  loaded(make('iframe', { sandbox: 'allow-scripts allow-forms', srcdoc:
    `<form method=post action="${to('form-sandboxed')}"></form><script>
     fetch("${to('fetch-sandboxed')}", { mode: 'no-cors' }).catch(() => {}).then(() => document.forms[0].submit());
     <\/script>` }));
  loaded(make('object', { data: to('object') }));
  wait(new Promise(done => make('audio', { src: to('audio'), preload: 'auto', onerror: done }).load()));
  wait(new Promise(done => Object.assign(new WebSocket(to('websocket').replace('http', 'ws')), { onopen: done, onclose: done, onerror: done })));
  wait(new Promise(done => { const events = new EventSource(to('events')); events.onerror = () => { events.close(); done(); }; }));
  window.open(to('open'), '_blank', 'noopener');
  window.open(to('open-with-opener'));
  const link = make('a', { href: to('link'), target: '_blank', rel: 'noopener noreferrer' });
  document.body.append(link);
  link.click();
}
// Every way to say "this machine".
for (const host of ['127.0.0.1', '127.8.9.1', 'localhost.', '[::ffff:127.0.0.1]', '0.0.0.0', 'any.localhost', 'evil.example']) {
  const name = host.replace(/[^a-z0-9]/g, '-');
  loaded(make('img', { src: `http://${host}:PROXY/api/img-at-${name}` }));
  loaded(make('iframe', { src: `http://${host}:PROXY/api/iframe-at-${name}` }));
  loaded(make('img', { src: `http://${host}:ADMIN/img-at-${name}` }));
}
Promise.all(settled).then(() => tell('settled')).then(() => location.href = proxy + 'navigation');
</script>"#;

/// A page whose name becomes bearerd's while it is open.
pub(crate) const REBOUND: &str = r#"<!doctype html><body><script>
(async () => {
  await fetch('/rebind');
  for (const [name, how] of [['rebound-get', {}], ['rebound-post', { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }]])
    await fetch('/api/' + name, how).catch(() => {});
  location.href = '/api/rebound-navigation';
})();
</script>"#;

/// A page that came through bearerd.
pub(crate) const OWN: &str = r#"<!doctype html><body><script>
(async () => {
  await fetch('own-get');
  await fetch('own-put', { method: 'PUT', body: '{}', headers: { 'content-type': 'application/json', 'x-own': '1' } });
  await new Promise(done => document.body.append(Object.assign(new Image(), { src: 'own-img', onerror: done, onload: done })));
  const form = Object.assign(document.createElement('form'), { action: 'own-form', method: 'post' });
  document.body.append(form);
  form.submit();
})();
</script>"#;
