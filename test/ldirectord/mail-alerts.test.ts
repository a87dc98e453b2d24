import { describe, expect, test } from 'vitest';
import { splitAddresses } from '../../src/ldirectord/config/values.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';
import { MailAlerts } from '../../src/ldirectord/mail-alerts.ts';
import { MailQueue } from '../../src/ldirectord/mail-queue.ts';
import type { Mail } from '../../src/ldirectord/mail-transport.ts';
import { VirtualClock } from '../health/virtual-clock.ts';

const BAD = { healthy: false, message: 'connection refused' };
const GOOD = { healthy: true, message: '' };

async function world(globals: string, block = '') {
  const text = `${globals}\nvirtual=192.0.2.1:80\n\treal=192.0.2.11:80 masq\n\treal=192.0.2.12:81 gate\n${block}`;
  const configuration = await parseConfiguration(text);
  const clock = new VirtualClock();
  const mails: Mail[] = [];
  const log: string[] = [];
  const alerts = new MailAlerts(configuration, {
    clock,
    hostName: 'director.example',
    send: (mail) => mails.push(mail),
    log: (line) => log.push(line),
  });
  const [virtual] = configuration.virtuals;
  const note = (index: number, result: typeof BAD) => alerts.note(virtual, virtual.real[index], result);
  return { alerts, clock, mails, log, note, subjects: () => mails.splice(0).map(({ subject }) => subject) };
}

const DELETED = 'Deleted real server: 192.0.2.11:80 (192.0.2.1:80)';

describe('a mail', () => {
  test('tells what the log tells, from whom, and why', async () => {
    const block = '\tservicename=Shop\n\tcomment=call Anna\n';
    const { alerts, note, mails, log } = await world(
      'emailalert="a@x.example"\nemailalertfrom=d@x.example\nsmtp=mail',
      block,
    );
    alerts.enter('running');
    note(0, BAD);
    alerts.hear(DELETED);
    expect(mails).toEqual([
      {
        to: ['a@x.example'],
        from: 'd@x.example',
        server: 'mail',
        subject: `[Shop] ${DELETED}`,
        text:
          `ldirectord host: director.example\nLog-Message: [Shop] ${DELETED}\nDaemon-Status: running\n` +
          'Reason: connection refused\nService name: Shop\nComment: call Anna\n',
      },
    ]);
    expect(log).toEqual([`emailalert: [Shop] ${DELETED}`]);
  });

  test.each([
    'Added real server: 192.0.2.11:80 (192.0.2.1:80) (Weight set to 1)',
    'Restored real server: 192.0.2.11:80 (192.0.2.1:80) (Weight set to 1)',
    'Quiescent real server: 192.0.2.11:80 (192.0.2.1:80) (Weight set to 0)',
    'Purged real server (start): 192.0.2.99:80 (192.0.2.1:80)',
    'Purged real server (stop): 192.0.2.11:80 (192.0.2.1:80)',
    'Added fallback server: 127.0.0.1:80 (192.0.2.1:80) (Weight set to 1)',
    'Deleted fallback server: 127.0.0.1:80 (192.0.2.1:80)',
  ])('is sent for "%s"', async (line) => {
    const { alerts, subjects } = await world('emailalert=a@x');
    alerts.hear(line);
    expect(subjects()).toEqual([line]);
  });

  test.each([
    'Added virtual server: 192.0.2.1:80',
    'Soft failure real server: 192.0.2.11:80 (tcp:192.0.2.1:80) failure 1/2',
    'system(addDestination) failed: no',
    'Deleted real server: 192.0.2.11:80 (192.0.2.77:80)',
  ])('is not sent for "%s"', async (line) => {
    const { alerts, subjects } = await world('emailalert=a@x');
    alerts.hear(line);
    expect(subjects()).toEqual([]);
  });

  test('has no more of a long answer than fits', async () => {
    const { alerts, note, mails } = await world('emailalert=a@x');
    note(0, { healthy: false, message: `<html>\n${'x'.repeat(100_000)}` });
    alerts.hear(DELETED);
    expect(mails[0].text.length).toBeLessThan(600);
    expect(mails[0].text).toMatch(/^Reason: <html> x+$/m);
  });

  test('is sent in the states that emailalertstatus names', async () => {
    const { alerts, subjects } = await world('emailalert=a@x\nemailalertstatus=running,stopping');
    for (const state of ['starting', 'running', 'reloading', 'stopping'] as const) {
      alerts.enter(state);
      alerts.hear(DELETED);
    }
    expect(subjects()).toHaveLength(2);
    const none = await world('emailalert=a@x\nemailalertstatus=none');
    none.alerts.hear(DELETED);
    expect(none.subjects()).toEqual([]);
  });

  test('of a block goes where the block says', async () => {
    const { alerts, mails } = await world('emailalert=a@x\nsmtp=one', '\temailalert=b@y, c@z\n\tsmtp=two\n');
    alerts.hear(DELETED);
    expect(mails[0]).toMatchObject({ to: ['b@y', 'c@z'], server: 'two' });
  });

  test('is written for nobody when nobody wants it', async () => {
    const { alerts, clock, note, subjects } = await world('emailalertfreq=1');
    note(0, BAD);
    alerts.hear(DELETED);
    await clock.advance(60_000);
    expect(subjects()).toEqual([]);
  });
});

describe('a server that stays down', () => {
  const INACCESSIBLE = 'Inaccessible real server: 192.0.2.11:80 (192.0.2.1:80)';

  test('is mentioned again every emailalertfreq seconds until it is back', async () => {
    const { alerts, clock, note, subjects } = await world('emailalert=a@x\nemailalertfreq=30');
    alerts.enter('running');
    note(0, BAD);
    alerts.hear(DELETED);
    expect(subjects()).toEqual([DELETED]);
    await clock.advance(29_000);
    expect(subjects()).toEqual([]);
    await clock.advance(61_000);
    expect(subjects()).toEqual([INACCESSIBLE, INACCESSIBLE, INACCESSIBLE]);
    note(0, GOOD);
    await clock.advance(60_000);
    expect(subjects()).toEqual([]);
  });

  test('is mentioned once without a frequency', async () => {
    const { alerts, clock, note, subjects } = await world('emailalert=a@x');
    note(0, BAD);
    alerts.hear(DELETED);
    await clock.advance(3_600_000);
    expect(subjects()).toEqual([DELETED]);
  });

  test('is mentioned even when it never was in the table, so that the log has no line for it', async () => {
    const { clock, note, subjects } = await world('emailalert=a@x');
    note(0, BAD);
    await clock.advance(10_000);
    expect(subjects()).toEqual([INACCESSIBLE]);
    await clock.advance(60_000);
    expect(subjects()).toEqual([]);
  });

  test('is down only after as many failures as failurecount says', async () => {
    const { clock, note, subjects } = await world('emailalert=a@x\nfailurecount=3');
    note(0, BAD);
    note(0, BAD);
    await clock.advance(60_000);
    expect(subjects()).toEqual([]);
    note(0, BAD);
    await clock.advance(10_000);
    expect(subjects()).toEqual([INACCESSIBLE]);
  });

  test('is found by the port the table has when its method cannot change it', async () => {
    const { alerts, clock, note, subjects } = await world('emailalert=a@x');
    note(1, BAD);
    alerts.hear('Deleted real server: 192.0.2.12:80 (192.0.2.1:80)');
    await clock.advance(60_000);
    expect(subjects()).toHaveLength(1);
  });

  test('is forgotten when it is not configured any more, and when everything stops', async () => {
    const { alerts, clock, note, subjects } = await world('emailalert=a@x\nemailalertfreq=5');
    note(0, BAD);
    alerts.configure(await parseConfiguration('emailalert=a@x\nvirtual=192.0.2.1:80\n\treal=192.0.2.12:80 masq\n'));
    await clock.advance(60_000);
    expect(subjects()).toEqual([]);
    note(0, BAD);
    alerts.enter('stopping');
    await clock.advance(60_000);
    expect(subjects()).toEqual([]);
  });
});

describe('addresses', () => {
  test.each([
    ['a@x', ['a@x']],
    ['a@x, b@y', ['a@x', 'b@y']],
    ['a@x b@y;c@z', ['a@x', 'b@y', 'c@z']],
    ['Ann Admin <a@x>, "Doe, Joe" <j@y>', ['Ann Admin <a@x>', '"Doe, Joe" <j@y>']],
    [' , ', []],
  ])('%j', (text, expected) => {
    expect(splitAddresses(text)).toEqual(expected);
  });

  test('that are none get a warning', async () => {
    const { warnings } = await parseConfiguration('emailalert=admin@x nobody\n');
    expect(warnings).toEqual([expect.objectContaining({ line: 1, text: expect.stringContaining('"nobody"') })]);
  });
});

describe('the queue', () => {
  const mail = (subject: string): Mail => ({ to: ['a@x'], from: null, server: 'm', subject, text: '' });

  test('sends one after the other, and logs why one could not be sent', async () => {
    const log: string[] = [];
    const sent: string[] = [];
    const send = async ({ subject }: Mail): Promise<string[]> => {
      if (subject === 'b') throw new Error('no way');
      sent.push(subject);
      return subject === 'c' ? ['b@y'] : [];
    };
    const queue = new MailQueue({ send, log: (text) => log.push(text) });
    for (const subject of ['a', 'b', 'c']) queue.push(mail(subject));
    await queue.flush(10_000);
    expect(sent).toEqual(['a', 'c']);
    expect(log).toEqual(['emailalert: b: not sent: no way', 'emailalert: c: not taken for b@y']);
  });

  test('never grows beyond a hundred behind a server that does not answer, and says what it dropped', async () => {
    const log: string[] = [];
    let answer = (): void => {};
    const send = () => new Promise<string[]>((resolve) => (answer = () => resolve([])));
    const queue = new MailQueue({ send, log: (text) => log.push(text) });
    for (let n = 0; n < 150; n++) queue.push(mail(String(n)));
    expect(log).toEqual(['emailalert: 100 mails are waiting; further ones are dropped until one was sent']);
    answer();
    await expect.poll(() => log.at(-1)).toBe('emailalert: 49 mails were dropped in the meantime');
    await queue.flush(1);
    expect(log.at(-1)).toBe('emailalert: 100 mails could not be sent in time');
  });
});
