// server.js PORT none|1.2|1.3 FOLDER: Node's own http and https, without a graceful stop.
const fs = require('fs');
const [port, tls, folder] = process.argv.slice(2);

function handle(request, response) {
  const url = new URL(request.url, 'http://here');
  const milliseconds = Number(url.searchParams.get('ms') || 0);
  const name = url.searchParams.get('id');
  if (url.searchParams.get('last')) fs.writeSync(1, 'begun\n');
  if (url.pathname === '/stream') {
    return stream(response, name, milliseconds, Number(url.searchParams.get('gap')));
  }
  let size = 0;
  request.on('data', (bytes) => { size += bytes.length; });
  request.on('end', () => setTimeout(() => {
    const body = `answer ${name} after ${size} bytes\n`;
    response.writeHead(200, { 'Content-Length': body.length });
    response.end(body);
  }, milliseconds));
}

function stream(response, name, milliseconds, gap) {
  const pieces = Math.round(milliseconds / gap) + 1;
  let number = 0;
  response.writeHead(200);
  const next = () => {
    response.write(`piece ${number} of ${name}\n`);
    number += 1;
    if (number === pieces) response.end();
    else setTimeout(next, gap);
  };
  next();
}

let server;
if (tls === 'none') {
  server = require('http').createServer(handle);
} else {
  const pem = fs.readFileSync(`${folder}/both.pem`);
  const version = `TLSv${tls}`;
  server = require('https').createServer({ key: pem, cert: pem, minVersion: version, maxVersion: version }, handle);
}
server.keepAliveTimeout = 120000;
server.headersTimeout = 130000;
// Otherwise Node does not answer a client that has half-closed, whoever stops it.
server.httpAllowHalfOpen = true;
server.listen({ port: Number(port), backlog: 1024 });
