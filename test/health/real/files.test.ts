/** ftp before vsftpd, and simpletcp over UDP before socat. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { asker, hasDatagramSocket, receive } from './ask.ts';
import { accepts, describeWith, type Place, type RunningServer, startServer } from './server.ts';

const REFUSED = { healthy: false, message: 'connection refused' };

/** Source: vsftpd.conf(5). */
const vsftpdConfiguration = ({ folder, port }: Place, listen: string): string => `${listen}
background=NO
listen_port=${port}
anonymous_enable=YES
anon_root=${folder}/files
secure_chroot_dir=${folder}/empty
ftp_username=daemon
seccomp_sandbox=NO
vsftpd_log_file=${folder}/log
`;

describeWith('vsftpd', { programs: ['vsftpd'], root: true }, () => {
  const servers: Record<'127.0.0.1' | '::1', RunningServer | undefined> = { '127.0.0.1': undefined, '::1': undefined };
  const listening = {
    '127.0.0.1': 'listen=YES\nlisten_address=127.0.0.1',
    '::1': 'listen=NO\nlisten_ipv6=YES\nlisten_address6=::1',
  };
  beforeAll(async () => {
    for (const address of ['127.0.0.1', '::1'] as const) {
      servers[address] = await startServer({
        program: 'vsftpd',
        arguments: ({ folder }) => [`${folder}/vsftpd.conf`],
        files: (place) => ({ 'vsftpd.conf': vsftpdConfiguration(place, listening[address]) }),
        prepare: ({ folder }) => {
          for (const name of ['files', 'empty']) mkdirSync(join(folder, name));
          writeFileSync(join(folder, 'files/live.txt'), 'all is well\n');
        },
        isReady: ({ port }) => accepts(port, address),
      });
    }
  });
  afterAll(async () => {
    for (const server of Object.values(servers)) await server?.stop();
  });

  test.each(['127.0.0.1', '::1'] as const)('ftp passes while it runs at %s, and then fails', async (address) => {
    const ask = asker(CHECKERS.ftp, () => servers[address]!, { address });
    const greeting = expect.stringMatching(/^220 \(vsFTPd /);
    expect(await ask()).toEqual({ healthy: true, message: greeting });
    expect(await ask({ request: '/live.txt', ...receive('^all is well$') })).toMatchObject({ healthy: false });
    expect(await ask({ request: '/live.txt', ...receive('^all is well') })).toEqual({
      healthy: true,
      message: greeting,
    });
    expect(await ask({ request: '/live.txt' })).toMatchObject({ healthy: true });
    expect(await ask({ request: '/gone.txt' })).toEqual({
      healthy: false,
      message: 'answer to RETR was 550 Failed to open file.',
    });
    expect(await ask({ login: 'nobody-here', password: 'x' })).toMatchObject({
      healthy: false,
      message: expect.stringMatching(/^answer to (USER|PASS) was 530 /),
    });
    await servers[address]!.stop();
    expect(await ask()).toEqual(REFUSED);
  });
});

describeWith('socat', { programs: ['socat'] }, () => {
  let echo: RunningServer;
  beforeAll(async () => {
    echo = await startServer({
      program: 'socat',
      arguments: ({ port }) => [`UDP4-RECVFROM:${port},bind=127.0.0.1,fork`, 'EXEC:cat'],
      isReady: hasDatagramSocket,
    });
  });
  afterAll(() => echo?.stop());

  test('simpletcp over UDP passes while an echo runs, and then fails', async () => {
    const ask = asker(CHECKERS.simpletcp, () => echo, { protocol: 'udp', request: 'PING\nPONG' });
    expect(await ask(receive('^PONG'))).toEqual({ healthy: true, message: '' });
    expect(await ask({ ...receive('^PANG'), timeoutMs: 300 })).toEqual({
      healthy: false,
      message: 'no matching line within 300 ms',
    });
    await echo.stop();
    expect(await ask(receive('^PONG'))).toEqual(REFUSED);
  });
});
