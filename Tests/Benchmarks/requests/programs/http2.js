// http2.js serve PORT none|1.3 FOLDER: Node's http2, without a graceful stop.
// http2.js ask PORT none|1.3 REQUESTS MS: a session that stays open; where MS is not 0, with one more request, which
// takes so long.
const fs = require('fs');
const http2 = require('http2');
const [task, port, tls, ...rest] = process.argv.slice(2);

function serve(folder) {
  const handle = (request, response) => {
    const milliseconds = Number(new URL(request.url, 'http://here').searchParams.get('ms'));
    setTimeout(() => response.end('answer\n'), milliseconds);
  };
  if (tls === 'none') {
    http2.createServer(handle).listen(Number(port));
  } else {
    const pem = fs.readFileSync(`${folder}/both.pem`);
    http2.createSecureServer({ key: pem, cert: pem, minVersion: `TLSv${tls}` }, handle).listen(Number(port));
  }
}

function ask(requests, milliseconds) {
  const scheme = tls === 'none' ? 'http' : 'https';
  const session = http2.connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false });
  session.on('error', (error) => console.log(`error ${error.code}`));
  const get = (time, done) => {
    const stream = session.request({ ':path': `/?ms=${time}` });
    let body = '';
    stream.on('data', (bytes) => { body += bytes; });
    stream.on('error', (error) => console.log(`error ${error.code}`));
    stream.on('end', () => { if (body === 'answer\n') done(); else console.log('error cut'); });
  };
  const next = (left) => {
    if (left) {
      get(5, () => next(left - 1));
      return;
    }
    if (milliseconds) get(milliseconds, () => console.log('answered'));
    setTimeout(() => console.log('ready'), 50);
  };
  next(requests);
  setTimeout(() => {}, 100000);
}

if (task === 'serve') serve(rest[0]);
else ask(Number(rest[0]), Number(rest[1]));
