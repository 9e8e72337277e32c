// pool.js: as pool.py, with Node's http.request and an Agent that keeps connections.
const [port, tls, method, mode, short, ms, pool] = process.argv.slice(2);
const library = tls === 'none' ? require('http') : require('https');
const agent = new library.Agent({ keepAlive: true, maxSockets: Number(pool) });
const body = method === 'post' ? 'name=value&'.repeat(30) : '';
const say = (text) => require('fs').writeSync(1, `${text}\n`);
let stopping = false;

function exchange(name, milliseconds, last) {
  return new Promise((done, failed) => {
    const path = `/work?ms=${milliseconds}&id=${name}`;
    const options = { host: '127.0.0.1', port, agent, method: method.toUpperCase(), path, rejectUnauthorized: false };
    if (tls !== 'none') options.minVersion = options.maxVersion = `TLSv${tls}`;
    if (body) options.headers = { 'Content-Length': body.length };
    const request = library.request(options, (answer) => {
      let text = '';
      answer.on('data', (bytes) => { text += bytes; });
      answer.on('error', failed);
      answer.on('end', () => {
        const wanted = `answer ${name} after ${body.length} bytes\n`;
        if (answer.statusCode === 200 && text === wanted) done();
        else failed(new Error(`${answer.statusCode} ${text}`));
      });
    });
    request.on('error', failed);
    if (body) {
      request.flushHeaders(); // The head in a write of its own.
      request.write(body);
    }
    request.end();
    if (last) setTimeout(() => say('sent'), 20);
  });
}

async function talk(number) {
  try {
    if (mode === 'last') {
      for (let turn = 0; turn < Number(short); turn += 1) await exchange(`${number}.${turn}`, 0);
      await exchange(`last-${number}`, ms, true);
    } else {
      await new Promise((done) => { setTimeout(done, Math.random() * Number(ms)); });
      for (let turn = 0; !stopping; turn += 1) await exchange(`${number}.${turn}`, ms);
    }
    say('ok');
  } catch (error) {
    say(`failed ${error.code || error.message}`);
  }
}

for (let number = 0; number < Number(pool); number += 1) talk(number);
process.stdin.once('data', () => {
  stopping = true;
  say('stopping');
});
setTimeout(() => {}, 60000);
