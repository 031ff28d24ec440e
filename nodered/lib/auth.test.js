'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { Auth, LoginGuard, sameLogin, sameText } = require('./auth');

const START = Date.UTC(2026, 0, 1);

function setup() {
  const clock = { ms: START, slept: /** @type {number[]} */ ([]) };
  const guard = new LoginGuard({ now: () => clock.ms, sleep: async (ms) => { clock.slept.push(ms); } });
  const auth = new Auth({ user: 'operator', password: 'pass: wörd', secret: 's3cret', now: () => clock.ms, guard });
  return { auth, clock, guard };
}
const cookieOf = ({ cookie }) => cookie.split(';')[0];
const basic = (text) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });

test('login gives a cookie and a token that together allow a change', async () => {
  const { auth } = setup();
  const login = await auth.login('operator', 'pass: wörd', 'a');
  assert.match(login.cookie, /^enms_session=[\w.-]+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
  const headers = { cookie: `other=1; ${cookieOf(login)}` };
  assert.equal(auth.session(headers)?.user, 'operator');
  assert.equal(await auth.authorize({ ...headers, 'x-csrf-token': login.csrf_token }, 'a'), 'operator');
});

test('a cookie without its CSRF token changes nothing', async () => {
  const { auth } = setup();
  const one = await auth.login('operator', 'pass: wörd', 'a');
  const other = await auth.login('operator', 'pass: wörd', 'a');
  const cookie = cookieOf(one);
  await assert.rejects(auth.authorize({ cookie }, 'a'), { status: 403 });
  await assert.rejects(auth.authorize({ cookie, 'x-csrf-token': other.csrf_token }, 'a'), { status: 403 });
});

test('a session ends in time, and a changed or foreign cookie is not one', async () => {
  const { auth, clock } = setup();
  const cookie = cookieOf(await auth.login('operator', 'pass: wörd', 'a'));
  for (let i = 'enms_session='.length; i < cookie.length; i++) {
    const changed = cookie.slice(0, i) + (cookie[i] === 'A' ? 'B' : 'A') + cookie.slice(i + 1);
    assert.equal(auth.session({ cookie: changed }), null);
  }
  const stranger = new Auth({ user: 'operator', password: 'x', secret: 'other', now: () => clock.ms });
  assert.equal(stranger.session({ cookie }), null);
  clock.ms += 12 * 3600 * 1000;
  assert.equal(auth.session({ cookie }), null);
  await assert.rejects(auth.authorize({ cookie }, 'a'), { status: 401 });
});

test('a new password, user or secret ends the sessions of the old one', async () => {
  const login = { user: 'operator', password: 'pass: wörd', secret: 's3cret' };
  const cookie = cookieOf(await setup().auth.login('operator', 'pass: wörd', 'a'));
  const session = (changed) => new Auth({ ...login, ...changed, now: () => START }).session({ cookie });
  assert.equal(session({})?.user, 'operator');
  for (const changed of [{ password: 'new' }, { user: 'other' }, { secret: 'new' }]) {
    assert.equal(session(changed), null);
  }
});

test('HTTP Basic allows passwords with colons and umlauts', async () => {
  const { auth } = setup();
  assert.equal(await auth.authorize(basic('operator:pass: wörd'), 'a'), 'operator');
  for (const wrong of ['operator:pass', 'other:pass: wörd', 'operator', '', ':']) {
    await assert.rejects(auth.authorize(basic(wrong), 'b'), { status: 401 });
  }
  await assert.rejects(auth.authorize({ authorization: 'Bearer x' }, 'a'), { status: 401 });
  await assert.rejects(auth.authorize({}, 'a'), { status: 401 });
});

test('failures slow the next login from that address, success resets it', async () => {
  const { auth, clock, guard } = setup();
  for (let i = 0; i < 6; i++) await assert.rejects(auth.login('operator', 'wrong', 'a'), { status: 401 });
  assert.deepEqual(clock.slept, [500, 1000, 2000]);
  assert.equal(guard.delay('b'), 0);
  await auth.login('operator', 'pass: wörd', 'a');
  assert.equal(guard.delay('a'), 0);
});

test('failures from many addresses slow all, in bounded memory, and are forgotten', () => {
  const { guard, clock } = setup();
  for (let i = 0; i < 5000; i++) guard.record(`address ${i}`, false);
  assert.ok(guard.failures.size <= 1000);
  assert.equal(guard.delay('never seen'), 30000);
  clock.ms += 16 * 60000;
  assert.equal(guard.delay('never seen'), 0);
});

test('an installation without a password or secret does not start', () => {
  assert.throws(() => new Auth({ user: 'operator', password: '', secret: 'x' }), /ENMS_EDITOR_PASSWORD/);
  assert.throws(() => new Auth({ user: 'operator', password: 'x', secret: '' }), /ENMS_SECRET_KEY/);
});

test('texts are compared whole, whatever their length', () => {
  assert.equal(sameText('abc', 'abc'), true);
  assert.equal(sameText('abc', 'abcd'), false);
  assert.equal(sameText(undefined, ''), true);
});

test('a login needs both, name and password', () => {
  const login = { user: 'operator', password: 'secret' };
  assert.equal(sameLogin('operator', 'secret', login), true);
  for (const [name, password] of [['operator', 'x'], ['x', 'secret'], ['x', 'x'], [undefined, undefined]]) {
    assert.equal(sameLogin(name, password, login), false);
  }
});

test('a flow gets an actor, or the answer to send', async () => {
  const { auth } = setup();
  const request = (headers, body) => ({ headers, body, socket: { remoteAddress: '127.0.0.1' } });
  assert.deepEqual(await auth.gate(request(basic('operator:pass: wörd'))), { actor: 'operator' });
  assert.deepEqual(await auth.gate(request({})), { status: 401, answer: { error: 'Log in first.' } });
  assert.equal((await auth.loginAnswer(request({}, undefined))).status, 400);
  assert.equal((await auth.loginAnswer(request({}, { user: 'operator', password: 'no' }))).status, 401);
  const login = { user: 'operator', password: 'pass: wörd' };
  const good = await auth.loginAnswer(request({ 'x-forwarded-proto': 'https' }, login));
  assert.equal(good.status, 200);
  assert.ok('headers' in good);
  assert.match(good.headers['Set-Cookie'], /; Secure$/);
  assert.deepEqual(Object.keys(good.answer).sort(), ['csrf_token', 'expires', 'user']);
});
