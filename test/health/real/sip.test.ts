/** sip before Kamailio. */
import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { asker, hasDatagramSocket } from './ask.ts';
import { accepts, describeWith, type Place, type RunningServer, startServer } from './server.ts';

/** Answers OPTIONS for one user, and nobody else. Source: the documentation of Kamailio's core and its module `sl`. */
const kamailioConfiguration = ({ port }: Place): string => `#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:${port}
listen=tcp:127.0.0.1:${port}
listen=udp:[::1]:${port}
loadmodule "pv.so"
loadmodule "sl.so"
request_route {
  if (method == "OPTIONS" && $rU != "nobody") { sl_send_reply("200", "OK"); exit; }
  sl_send_reply("404", "Not Found");
}
`;

describeWith('kamailio', { programs: ['kamailio'] }, () => {
  let kamailio: RunningServer;
  beforeAll(async () => {
    kamailio = await startServer({
      program: 'kamailio',
      arguments: ({ folder }) => [
        '-DD',
        '-E',
        '-m',
        '16',
        '-M',
        '4',
        '-f',
        `${folder}/kamailio.cfg`,
        '-Y',
        `${folder}/run`,
      ],
      files: (place) => ({ 'kamailio.cfg': kamailioConfiguration(place) }),
      prepare: ({ folder }) => void mkdirSync(`${folder}/run`),
      isReady: async (place) => (await hasDatagramSocket(place)) && (await accepts(place.port)),
    });
  });
  afterAll(() => kamailio?.stop());

  test('sip passes over UDP and TCP while it runs, and then fails', async () => {
    const ask = asker(CHECKERS.sip, () => kamailio, { login: 'ldirectord@127.0.0.1' });
    for (const protocol of ['udp', 'tcp'] as const) {
      expect(await ask({ protocol })).toEqual({ healthy: true, message: 'SIP/2.0 200 OK' });
      expect(await ask({ protocol, login: 'nobody@127.0.0.1' })).toEqual({
        healthy: false,
        message: 'answer to OPTIONS was SIP/2.0 404 Not Found',
      });
    }
    expect(await ask({ protocol: 'udp', address: '::1', login: undefined })).toMatchObject({ healthy: true });
    await kamailio.stop();
    for (const protocol of ['udp', 'tcp'] as const) {
      expect(await ask({ protocol })).toEqual({ healthy: false, message: 'connection refused' });
    }
  });
});
