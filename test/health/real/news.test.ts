/** nntp before JamNNTPd. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { asker } from './ask.ts';
import { describeWith, type RunningServer, startServer } from './server.ts';

describeWith('jamnntpd', { programs: ['jamnntpd'] }, () => {
  let news: RunningServer;
  beforeAll(async () => {
    news = await startServer({
      program: 'jamnntpd',
      arguments: ({ port }) => [
        '-p',
        `${port}`,
        '-g',
        'groups',
        '-a',
        'allow',
        '-u',
        'users',
        '-x',
        '/etc/jamnntpd.xlat',
        '-l',
        'log',
      ],
      files: ({ folder }) => ({
        groups: `lab.uipvs A 2:20/0 ${folder}/messages\n`,
        allow: '* A A\n',
        users: '',
      }),
    });
  });
  afterAll(() => news?.stop());

  test('nntp passes while it runs, and then fails', async () => {
    const ask = asker(CHECKERS.nntp, () => news, {});
    expect(await ask()).toEqual({ healthy: true, message: expect.stringMatching(/^20[01] .*NNTP/i) });
    await news.stop();
    expect(await ask()).toEqual({ healthy: false, message: 'connection refused' });
  });
});
