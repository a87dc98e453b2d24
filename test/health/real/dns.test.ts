/** The check of DNS before unbound, with names of its own. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { asker, hasDatagramSocket, receive } from './ask.ts';
import { accepts, describeWith, type RunningServer, startServer } from './server.ts';

/** More than fits into a datagram of 512 bytes. */
const MANY = Array.from({ length: 40 }, (_, index) => `192.0.2.${index + 1}`);

describeWith('unbound', { programs: ['unbound', 'sh'] }, () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer({
      program: 'sh',
      // A copy, because a profile of AppArmor would keep the program at its usual path from this configuration.
      arguments: ({ folder }) => [
        '-c',
        'cp "$(command -v unbound)" copy && exec ./copy "$@"',
        'sh',
        '-d',
        '-c',
        `${folder}/c`,
      ],
      environment: { PATH: `${process.env.PATH}:/usr/sbin` },
      files: ({ folder, port }) => ({ c: configuration(folder, port) }),
      isReady: async (place) => (await hasDatagramSocket(place)) && (await accepts(place.port)),
    });
  });
  afterAll(() => server.stop());

  for (const protocol of ['udp', 'tcp'] as const) {
    const ask = asker(CHECKERS.dns, () => server, { protocol, request: 'www.uipvs.test' });

    test(`over ${protocol} an address that matches is healthy`, async () => {
      expect(await ask()).toEqual({ healthy: true, message: '192.0.2.7' });
      expect(await ask(receive('^192\\.0\\.2\\.7$'))).toEqual({ healthy: true, message: '192.0.2.7' });
      expect(await ask({ request: 'WWW.uipvs.test.' })).toEqual({ healthy: true, message: '192.0.2.7' });
    });

    test(`over ${protocol} an IPv6 address counts too`, async () => {
      expect(await ask(receive('^2001:db8::7$'))).toEqual({ healthy: true, message: '2001:db8::7' });
      expect(await ask({ request: 'six.uipvs.test' })).toEqual({ healthy: true, message: '2001:db8::6' });
    });

    test(`over ${protocol} an address is asked for its name`, async () => {
      expect(await ask({ request: '192.0.2.7', ...receive('^www\\.') })).toMatchObject({ healthy: true });
      expect(await ask({ request: '2001:db8::7', ...receive('^www\\.') })).toMatchObject({ healthy: true });
      expect(await ask({ request: '192.0.2.7', ...receive('^mail\\.') })).toEqual({
        healthy: false,
        message: 'answered www.uipvs.test, which does not match',
      });
    });

    test(`over ${protocol} a wrong name and a wrong address are said`, async () => {
      expect(await ask({ request: 'nobody.uipvs.test' })).toEqual({
        healthy: false,
        message: 'answered NXDOMAIN for nobody.uipvs.test',
      });
      expect(await ask({ request: 'text.uipvs.test' })).toEqual({
        healthy: false,
        message: 'answered without an address for text.uipvs.test',
      });
      expect(await ask(receive('^198\\.'))).toEqual({
        healthy: false,
        message: 'answered 192.0.2.7, 2001:db8::7, which does not match',
      });
      expect(await ask({ request: 'example.org' })).toEqual({
        healthy: false,
        message: 'answered REFUSED for example.org',
      });
    });

    test(`over ${protocol} an answer too large for a datagram is whole`, async () => {
      expect(await ask({ request: 'many.uipvs.test', ...receive(`^${MANY.at(-1)?.replaceAll('.', '\\.')}$`) })).toEqual(
        {
          healthy: true,
          message: MANY.at(-1),
        },
      );
    });

    test(`over ${protocol} IPv6 reaches it too`, async () => {
      expect(await ask({ address: '::1' })).toEqual({ healthy: true, message: '192.0.2.7' });
    });
  }

  test('after it was stopped the port is closed', async () => {
    await server.stop();
    for (const protocol of ['udp', 'tcp'] as const) {
      const ask = asker(CHECKERS.dns, () => server, { protocol, request: 'www.uipvs.test' });
      expect(await ask()).toEqual({ healthy: false, message: 'connection refused' });
    }
  });
});

function configuration(folder: string, port: number): string {
  const many = MANY.map((address) => `  local-data: "many.uipvs.test. A ${address}"`).join('\n');
  return `server:
  interface: 127.0.0.1@${port}
  interface: ::1@${port}
  directory: "${folder}"
  pidfile: "${folder}/pid"
  username: ""
  chroot: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  num-threads: 1
  local-zone: "." refuse
  local-zone: "uipvs.test." static
  local-data: "www.uipvs.test. A 192.0.2.7"
  local-data: "www.uipvs.test. AAAA 2001:db8::7"
  local-data: "six.uipvs.test. AAAA 2001:db8::6"
  local-data: "text.uipvs.test. TXT words"
  local-data-ptr: "192.0.2.7 www.uipvs.test"
  local-data-ptr: "2001:db8::7 www.uipvs.test"
${many}
remote-control:
  control-enable: no
`;
}
