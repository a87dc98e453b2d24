/** http, https, http_proxy and simpletcp before nginx and tinyproxy. */
import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { type Certificates, createCertificates } from '../certificates.ts';
import { asker, receive } from './ask.ts';
import { describeWith, freePort, type Place, type RunningServer, startServer } from './server.ts';

const REFUSED = { healthy: false, message: 'connection refused' };

/** Source: the documentation of nginx. Every path it writes to is below the folder. */
function nginxConfiguration({ folder, port }: Place, certificates: Certificates, secure: Ports): string {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((use) => `${use}_temp_path ${folder}/tmp;`);
  const secureServer = (securePort: number, { certPath, keyPath }: { certPath: string; keyPath: string }) =>
    `server { listen 127.0.0.1:${securePort} ssl; ssl_certificate ${certPath}; ssl_certificate_key ${keyPath};
       location / { return 200 "in secret\n"; } }`;
  return `daemon off; master_process off; pid ${folder}/pid;
events {}
http {
  access_log off; ${paths.join(' ')}
  server {
    listen 127.0.0.1:${port}; listen [::1]:${port};
    location / { return 200 "All systems go\n"; }
    location /broken { return 503; }
    location /moved { return 302 /; }
    location /host { return 200 "host $http_host\n"; }
  }
  ${secureServer(secure.valid, certificates.valid)}
  ${secureServer(secure.expired, certificates.expired)}
}
`;
}

interface Ports {
  readonly valid: number;
  readonly expired: number;
}

async function startNginx(certificates: Certificates, secure: Ports): Promise<RunningServer> {
  return startServer({
    program: 'nginx',
    arguments: ({ folder }) => ['-c', `${folder}/nginx.conf`, '-p', folder, '-e', `${folder}/error.log`],
    files: (place) => ({ 'nginx.conf': nginxConfiguration(place, certificates, secure) }),
    prepare: ({ folder }) => void mkdirSync(`${folder}/tmp`),
  });
}

describeWith('nginx', { programs: ['nginx', 'openssl'] }, () => {
  let certificates: Certificates;
  let secure: Ports;
  let nginx: RunningServer;
  beforeAll(async () => {
    certificates = createCertificates();
    secure = { valid: await freePort(), expired: await freePort() };
    nginx = await startNginx(certificates, secure);
  });
  afterAll(async () => {
    await nginx?.stop();
    certificates.remove();
  });
  const ask = asker(CHECKERS.http, () => nginx, {});
  const url = (path: string, host = '127.0.0.1') => ({ url: `http://${host}:${nginx.port}${path}` });
  const secureUrl = (port: number) => ({ url: `https://127.0.0.1:${port}/` });

  test('http passes, over IPv4 and IPv6', async () => {
    expect(await ask(url('/'))).toEqual({ healthy: true, message: '200 OK' });
    expect(await ask({ ...url('/', '[::1]'), address: '::1' })).toEqual({ healthy: true, message: '200 OK' });
    expect(await ask({ ...url('/moved'), ...receive('^All systems go') })).toMatchObject({ healthy: true });
    expect(
      await ask({ ...url('/host'), ...receive('^host www\\.lab\\.test$'), virtualHost: 'www.lab.test' }),
    ).toMatchObject({ healthy: false });
    expect(
      await ask({ ...url('/host'), ...receive('^host www\\.lab\\.test\n'), virtualHost: 'www.lab.test' }),
    ).toMatchObject({ healthy: true });
    expect(await ask({ ...url('/'), method: 'HEAD' })).toMatchObject({ healthy: true });
  });

  test('http says what is wrong', async () => {
    expect(await ask(url('/broken'))).toEqual({ healthy: false, message: '503 Service Temporarily Unavailable' });
    expect(await ask({ ...url('/'), ...receive('nominal') })).toEqual({
      healthy: false,
      message: 'the body does not match: All systems go',
      body: 'All systems go\n',
    });
  });

  test('https passes, whatever the certificate says', async () => {
    expect(await ask({ ...secureUrl(secure.valid), ...receive('secret') })).toMatchObject({ healthy: true });
    expect(await ask({ ...secureUrl(secure.expired), ...receive('secret') })).toMatchObject({ healthy: true });
    expect(await ask(secureUrl(nginx.port))).toEqual({ healthy: false, message: 'TLS: the server does not speak it' });
  });

  test('simpletcp passes', async () => {
    const simple = asker(CHECKERS.simpletcp, () => nginx, { request: 'GET / HTTP/1.0\n\n' });
    expect(await simple(receive('^All systems'))).toMatchObject({ healthy: true });
    expect(await simple(receive('^No systems'))).toEqual({ healthy: false, message: 'no line matches' });
  });

  test('all of them fail once it is stopped', async () => {
    await nginx.stop();
    const simple = asker(CHECKERS.simpletcp, () => nginx, { request: 'GET / HTTP/1.0\n\n' });
    for (const result of [await ask(url('/')), await ask(secureUrl(secure.valid)), await simple()]) {
      expect(result).toEqual(REFUSED);
    }
  });
});

describeWith('tinyproxy before nginx', { programs: ['tinyproxy', 'nginx', 'openssl'] }, () => {
  let certificates: Certificates;
  let nginx: RunningServer;
  let proxy: RunningServer;
  beforeAll(async () => {
    certificates = createCertificates();
    nginx = await startNginx(certificates, { valid: await freePort(), expired: await freePort() });
    proxy = await startServer({
      program: 'tinyproxy',
      arguments: ({ folder }) => ['-d', '-c', `${folder}/tinyproxy.conf`],
      files: ({ port }) => ({ 'tinyproxy.conf': `Port ${port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 10\n` }),
    });
  });
  afterAll(async () => {
    await proxy?.stop();
    await nginx?.stop();
    certificates.remove();
  });
  const ask = asker(CHECKERS.http, () => proxy, { proxy: true });
  const url = () => ({ url: `http://127.0.0.1:${nginx.port}/` });

  test('http_proxy passes', async () => {
    expect(await ask({ ...url(), ...receive('All systems go') })).toEqual({ healthy: true, message: '200 OK' });
    expect(await ask({ url: '/' })).toEqual({ healthy: false, message: '/ is not a whole URL' });
  });

  test('a server behind it that is gone is its answer, and its own end a refusal', async () => {
    await nginx.stop();
    expect(await ask(url())).toMatchObject({ healthy: false, message: expect.stringMatching(/^50\d /) });
    await proxy.stop();
    expect(await ask(url())).toEqual(REFUSED);
  });
});
