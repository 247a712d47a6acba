'use strict';
// What the page says. Nothing here touches the document.

const moment = text => text ? Date.parse(text) : null;
const plural = (count, one, many = one + 's') => `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
const span = milliseconds => {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  if (m) return `${m} min ${String(seconds % 60).padStart(2, '0')} s`;
  return `${seconds} s`;
};
const clock = (at, now) => {
  const date = new Date(at), today = new Date(now).toDateString() === date.toDateString();
  const time = date.toLocaleTimeString('en-GB');
  return today ? time : `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time.slice(0, 5)}`;
};
const milliseconds = ms => ms === null ? '–' : ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
const WHY = {
  none_held: 'New token: none was held', expired: 'New token: the old one had expired', expiring: 'Renewed ahead of its expiry',
  rejected: 'New token: the API rejected the old one', keep_alive: 'Renewed to keep the grant alive', forced: 'Renewed by hand',
  in_doubt: 'Signed in anew out of a doubt', refused: 'Signed in anew after refusals', restore: 'Saved again what the store had lost',
};
const ABOUT = {
  refresh_token_refused: 'The refresh token was refused', login_refused: 'The user or password was refused',
  subject_refused: 'The subject was refused', client_refused: 'The client was refused',
  rate_limited: 'The provider asks for fewer requests', request_refused: 'A token request was refused',
};
const EVENTS = {
  obtained: ['good', why => WHY[why]], adopted: ['quiet', () => 'Took tokens from the store'], signed_in: ['good', () => 'A person signed in'],
  never_left: ['warn', () => 'The token endpoint was not reached'], refused: ['bad', why => ABOUT[why]],
  in_doubt: ['warn', () => 'No answer: the outcome is in doubt'], taken_over: ['warn', () => 'Took over a spend that nobody finished'],
  dead: ['bad', () => 'The session has ended'], unsaved: ['warn', () => 'In use, but not saved'], saved: ['good', () => 'Saved'],
  store_trouble: ['warn', () => 'The store could not be used'], foreign: ['bad', () => 'Stored tokens are of other settings'],
  cooldown: ['warn', () => 'The API rejects fresh tokens too'], ending: ['warn', () => 'A person has to sign in soon'],
};
const VERDICTS = {
  ready: ['good', 'All is well'], degraded: ['warn', 'Serving, with something to look at'], starting: ['busy', 'Starting'],
  draining: ['busy', 'Draining'], not_ready: ['bad', 'Not ready'],
};
// The tone, the state in words, and what it means for requests.
const standing = (it, now) => {
  switch (it.state) {
    case 'static': return ['quiet', 'Fixed token', 'It stands in the config and is never renewed.'];
    case 'subjects': return ['good', 'A token each',
      `${it.subjects ? plural(it.subjects, 'subject holds', 'subjects hold') : 'No subject holds'} a token just now. Each is renewed when its own requests need it.`];
    case 'live':
      if (it.last_error) return ['warn', 'Working, not renewing', 'Requests still get the held token, until it expires.'];
      if (it.unsaved) return ['warn', 'Working, not saved', 'The store has not taken the token yet; saving is tried until it works.'];
      if (it.cooldown && moment(it.cooldown) > now) return ['warn', 'The API says no', 'It rejects fresh tokens too, so its 401s pass through for now.'];
      return ['good', 'Working', ''];
    case 'renewing': return ['busy', 'Getting a token', 'Requests wait for it.'];
    case 'idle': return ['quiet', 'Idle', it.expires ? 'Its token has expired unused. The next request gets a new one.' : 'Nobody has asked for a token yet. The first request gets one.'];
    case 'failing': return ['bad', 'No token', 'Requests get 503 until there is one.'];
    case 'login_required': case 'dead': return ['bad', 'A person has to sign in', 'Requests get 503 until then.'];
    default: return ['quiet', it.state, ''];
  }
};
