/** The words of the program and what stands round them, as real processes: exit codes, foreground, reload, mail. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { nativeCallsWork } from '../../src/native/ffi-provider.ts';
import type { Compiled } from '../health/compiled.ts';
import { DatagramReceiver } from '../support/datagram-receiver.ts';
import { compileProgram, Host } from './program-world.ts';

const SERVICE = 'virtual=192.0.2.1:80\n\treal=192.0.2.11:80 masq\n\tchecktype=on\n';
const BROKEN = `${SERVICE}\tschedular=rr\n`;
const EXAMPLES = join(import.meta.dirname, 'examples');

// Many processes, one after the other, on a machine that may have other things to do.
vi.setConfig({ testTimeout: 150_000 });

let compiled: Compiled;
let host: Host;
beforeAll(() => {
  compiled = compileProgram('words');
});
afterAll(() => compiled.remove());
beforeEach(() => {
  host = new Host(compiled);
});
afterEach(() => host.remove());

async function stopped(...names: string[]): Promise<void> {
  for (const name of names) {
    if (host.pidOf(name) !== null) host.run(name, 'stop');
    await host.until(() => host.pidOf(name) === null);
  }
}

/** Statuses of every word for one state of file and daemon, in this order. */
const WORDS = ['status', 'reload', 'force-reload', 'try-restart', 'stop'] as const;
const statuses = () => Object.fromEntries(WORDS.map((word) => [word, host.run('user.cf', word).status]));

describe('exit codes', () => {
  test('without a daemon', () => {
    host.write(SERVICE);
    expect(statuses()).toEqual({ status: 3, reload: 1, 'force-reload': 1, 'try-restart': 0, stop: 0 });
  });

  test('without a daemon, with a broken file', () => {
    host.write(BROKEN);
    expect(statuses()).toEqual({ status: 3, reload: 2, 'force-reload': 2, 'try-restart': 2, stop: 0 });
    expect(host.run('user.cf', 'start').status).toBe(2);
    expect(host.run('user.cf', 'restart').status).toBe(2);
    expect(host.run('user.cf', 'check').status).toBe(2);
  });

  test('with a daemon', async () => {
    host.write(SERVICE);
    expect(host.run('user.cf', 'start').status).toBe(0);
    expect(host.run('user.cf', 'start').status).toBe(0);
    expect(statuses()).toEqual({ status: 0, reload: 0, 'force-reload': 0, 'try-restart': 0, stop: 0 });
    await stopped('user.cf');
  });

  test('with a daemon whose file has been broken, or is gone: it is told of, and it can be stopped', async () => {
    const path = host.write(SERVICE);
    host.run('user.cf', 'start');
    const pid = host.pidOf('user.cf');
    host.write(BROKEN);
    const { stop, ...others } = { ...statuses() };
    expect(others).toEqual({ status: 0, reload: 2, 'force-reload': 2, 'try-restart': 2 });
    expect(stop).toBe(0);
    await stopped('user.cf');
    expect(host.log()).toContain('Linux Director Daemon terminated on signal: TERM');
    await host.until(() => !existsSync(`/proc/${pid}`));
    host.write(SERVICE);
    host.run('user.cf', 'start');
    execFileSync('rm', [path]);
    expect(host.run('user.cf', 'stop').status).toBe(0);
    await stopped('user.cf');
  });

  test('without a file, and with words that are none', () => {
    for (const word of [...WORDS, 'start', 'restart', 'check']) {
      expect(host.run('none.cf', word)).toEqual({ status: 1, stdout: '', stderr: 'Config file none.cf not found\n' });
    }
    for (const words of [[], ['walk'], ['-x', 'start'], ['--reload']]) expect(host.run(...words).status).toBe(255);
    expect(host.run('--help').status).toBe(0);
    expect(host.run('-v').status).toBe(0);
  });

  test('are the recorded ones for every file that ldirectord refuses', () => {
    const names = readdirSync(EXAMPLES).filter((name) => name.endsWith('.cf') && name >= '50');
    // Each is a process of its own: every fifth will do here, all of them are read in another test.
    for (const name of names.filter((_, index) => index % 5 === 0)) {
      const path = join(host.folder, 'ha.d', name);
      copyFileSync(join(EXAMPLES, name), path);
      const recorded = JSON.parse(readFileSync(join(EXAMPLES, name.replace('.cf', '.json')), 'utf8'));
      const { status, stderr } = host.run(name, 'start');
      expect({ name, status }).toEqual({ name, status: recorded.exit_status });
      expect(stderr.replace(/\[\d+\]/, '[<pid>]').replace(path, '<path>')).toBe(recorded.stderr);
    }
  });
});

describe('check', () => {
  test('says what a file means, and touches nothing', () => {
    const path = host.write(`${SERVICE}\treal=192.0.2.12:80 masq 3\n\tfallback=127.0.0.1\n\tscheduler=rrr\n`);
    const { status, stdout, stderr } = host.run('user.cf', 'check');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toBe(`${path}: 1 virtual service, 2 real servers, 1 warning

tcp 192.0.2.1:80, rrr   (line 2)
  192.0.2.11:80  masq  weight 1
  192.0.2.12:80  masq  weight 3
  127.0.0.1:80  gate  while no server is up
  check: always up (checktype=on)
  down:  never

log:          ${join(host.folder, 'log')}
changed file: left alone until a reload (autoreload)

warning at line 7: scheduler=rrr: there is no such scheduler; did you mean rr?
`);
    expect(host.commands()).toBe('');
    expect(host.pidOf('user.cf')).toBeNull();
  });

  test('tells what a server is asked when it is something of its own', () => {
    host.write(
      'checkinterval=2\nvirtual=192.0.2.1:80\n\treal=192.0.2.11:80 masq\n' +
        '\treal=192.0.2.12:80 masq 1 "probe.html","ok"\n\tquiescent=yes\n\tfailurecount=3\n',
    );
    const { stdout } = host.run('user.cf', 'check');
    expect(stdout).toMatch(/^ {2}192\.0\.2\.11:80 +masq +weight 1 +check: http every 2 s, timeout 30 s$/m);
    expect(stdout).toMatch(/^ {2}192\.0\.2\.12:80 .*, asked for "\/probe\.html" expecting "ok"$/m);
    expect(stdout).toContain(
      '  down:  after 3 failed checks in a row: weight 0, old connections go on (quiescent=yes)\n',
    );
  });

  test('shows where a file is wrong', () => {
    const path = host.write(BROKEN);
    const { status, stdout, stderr } = host.run('check', 'user.cf');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.replace(/\[\d+\]/, '[N]')).toBe(
      `Error [N] reading file ${path} at line 5: Unknown command "\tschedular=rr\n"\n` +
        '  5 | \tschedular=rr\n    | \t          ^ did you mean "scheduler"? expected a directive of a block\n',
    );
  });

  test('takes anything for a file without falling over', async () => {
    for (const path of ['/dev/zero', '/bin/true', '/etc', '/dev/null', '/proc/self/mem']) {
      const { status, stderr } = host.run(path, 'check');
      expect({ path, status }).toEqual({ path, status: path === '/dev/null' ? 0 : 2 });
      expect(stderr).toMatch(path === '/dev/null' ? /^$/ : /^Error \[\d+\]/);
    }
    const words = ['-c', 'printf "virtual=192.0.2.1:80\\n\\tchecktyp=on\\n" | "$@"', 'sh'];
    const piped = host.startOther(['sh', ...words, ...host.words('/dev/stdin', 'check')]);
    expect(await piped.ended).toBe(2);
    expect(piped.said()).toContain('did you mean "checktype"?');
  });

  test('--json tells the same to programs', () => {
    host.write(BROKEN);
    const broken = host.run('--json', 'user.cf', 'check');
    expect(broken.status).toBe(2);
    expect(JSON.parse(broken.stdout)).toMatchObject({
      valid: false,
      error: { line: 5, nearest: 'scheduler', source: '\tschedular=rr', message: expect.stringContaining('Unknown') },
      services: [],
    });
    host.write(SERVICE);
    const fine = host.run('user.cf', 'check', '--json');
    expect(fine.status).toBe(0);
    expect(JSON.parse(fine.stdout)).toMatchObject({
      valid: true,
      error: null,
      warnings: [],
      services: [
        { identity: 'tcp:192.0.2.1:80', servers: [{ address: '192.0.2.11', check: 'always up (checktype=on)' }] },
      ],
    });
  });
});

describe('in the foreground', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)(
    'a supervised one logs on standard output and ends with %s',
    async (signal) => {
      host.write(`supervised=yes\n${SERVICE}`);
      const running = host.start(['user.cf', 'start']);
      await host.until(() => running.said().includes('Added real server: 192.0.2.11:80'));
      expect(running.said()).toMatch(
        /^\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] Added virtual server: 192\.0\.2\.1:80$/m,
      );
      expect(host.pidOf('user.cf')).toBeNull();
      running.child.kill(signal);
      expect(await running.ended).toBe(0);
      expect(running.said()).toContain(`Linux Director Daemon terminated on signal: ${signal.slice(3)}`);
      expect(host.commands().trim().split('\n').at(-1)).toContain('deleteService');
      expect(host.log()).toBe('');
    },
  );

  test('--foreground logs to the file and has a pid file, and takes a reload', async () => {
    host.write(SERVICE);
    const running = host.start(['--foreground', 'user.cf', 'start']);
    await host.until(() => host.log().includes('Added real server: 192.0.2.11:80'));
    expect(host.pidOf('user.cf')).toBe(running.child.pid);
    host.write(SERVICE.replace('192.0.2.11', '192.0.2.12'));
    expect(host.run('user.cf', 'reload').status).toBe(0);
    await host.until(() => host.log().includes('Added real server: 192.0.2.12:80'));
    running.child.kill('SIGINT');
    expect(await running.ended).toBe(0);
    expect(host.pidOf('user.cf')).toBeNull();
  });

  test('-d says on standard error what every check said', async () => {
    host.write(`checkinterval=1\n${SERVICE}`);
    const running = host.start(['-d', 'user.cf', 'start']);
    await host.until(() => running.said().includes('DEBUG2: on 192.0.2.11:80 up'));
    running.child.kill('SIGINT');
    expect(await running.ended).toBe(0);
  });

  test.skipIf(!nativeCallsWork())('systemd hears how it fares (needs koffi or node:ffi)', async () => {
    const receiver = new DatagramReceiver(join(host.folder, 'notify'));
    const heard = () => receiver.received().map((message) => message.replace(/USEC=\d+/, 'USEC=N'));
    host.write(SERVICE);
    const running = host.start(['--foreground', 'user.cf', 'start'], {
      NOTIFY_SOCKET: receiver.path,
      WATCHDOG_USEC: '1000000',
    });
    const READY = 'READY=1\nSTATUS=1 virtual service with 1 real server';
    await host.until(() => heard().includes(READY));
    await host.until(() => heard().filter((message) => message === 'WATCHDOG=1').length >= 3);
    const path = host.write(BROKEN);
    running.child.kill('SIGHUP');
    const kept = `READY=1\nSTATUS=line 5 of ${path} is wrong; the configuration before stays in force`;
    await host.until(() => heard().includes(kept));
    running.child.kill('SIGTERM');
    expect(await running.ended).toBe(0);
    const states = heard().filter((message) => message !== 'WATCHDOG=1');
    expect(states).toEqual([
      'STATUS=the first checks are under way',
      READY,
      'RELOADING=1\nMONOTONIC_USEC=N\nSTATUS=reloading',
      kept,
      'STOPPING=1\nSTATUS=stopping',
    ]);
    receiver.close();
  });
});

describe('what a changed file sets off', () => {
  test('callback is run with the path, whether or not the file is read again', async () => {
    const callback = join(host.folder, 'callback');
    writeFileSync(callback, `#!/bin/sh\necho "$@" >> ${host.folder}/called\n`);
    chmodSync(callback, 0o755);
    const head = `checkinterval=1\ncallback="${callback}"\n`;
    const path = host.write(head + SERVICE);
    host.run('user.cf', 'start');
    host.write(`${head}${SERVICE}\treal=192.0.2.12:80 masq\n`);
    await host.until(() => host.read('called') === `${path}\n`);
    expect(host.log()).toContain(' - ignore new configuration');
    expect(host.log()).not.toContain('192.0.2.12');
    await stopped('user.cf');
  });
});

describe('execute', () => {
  const other = SERVICE.replaceAll('192.0.2.1', '192.0.2.2');

  test('starts, tells of, reloads and stops the others', async () => {
    host.write(`execute=other.cf\n${SERVICE}`);
    host.write(other, 'ha.d/other.cf');
    expect(host.run('user.cf', 'start').status).toBe(0);
    await host.until(() => host.pidOf('other.cf') !== null);
    const pid = host.pidOf('other.cf');
    await host.until(() => host.run('user.cf', 'status').stdout.includes(`other.cf is running with pid: ${pid}`));

    host.write(other.replace('192.0.2.21', '192.0.2.29'), 'ha.d/other.cf');
    host.run('user.cf', 'reload');
    await host.until(() => host.log().includes('Added real server: 192.0.2.29:80'));
    expect(host.pidOf('other.cf')).toBe(pid);

    // No longer named, so no longer wanted; named again, it is back.
    host.write(SERVICE);
    host.run('user.cf', 'reload');
    await host.until(() => host.pidOf('other.cf') === null);
    host.write(`execute=other.cf\n${SERVICE}`);
    host.run('user.cf', 'reload');
    await host.until(() => host.pidOf('other.cf') !== null);

    expect(host.run('user.cf', 'stop').status).toBe(0);
    await host.until(() => host.pidOf('user.cf') === null && host.pidOf('other.cf') === null);
  });

  test('two that name each other come to an end all the same', async () => {
    host.write(`execute=other.cf\n${SERVICE}`);
    host.write(`execute=user.cf\n${other}`, 'ha.d/other.cf');
    host.run('user.cf', 'start');
    await host.until(() => host.pidOf('other.cf') !== null);
    host.run('user.cf', 'stop');
    await host.until(() => host.pidOf('user.cf') === null && host.pidOf('other.cf') === null);
    expect(host.log().match(/terminated on signal/g)).toHaveLength(2);
  });

  test('one that cannot be started is told of, and nothing else suffers', async () => {
    host.write(`execute=missing.cf\n${SERVICE}`);
    expect(host.run('user.cf', 'start').status).toBe(0);
    await host.until(() => host.log().includes('execute: missing.cf start failed: Config file missing.cf not found'));
    await stopped('user.cf');
  });
});

describe.skipIf(process.getuid?.() !== 0)(
  'mail from the running program (needs root, for port 25 of a namespace)',
  () => {
    const NAMESPACE = `uild-mail-${process.pid}`;
    const python = '/usr/bin/python3';
    beforeAll(() => {
      execFileSync('ip', ['netns', 'add', NAMESPACE]);
      execFileSync('ip', ['-n', NAMESPACE, 'link', 'set', 'lo', 'up']);
    });
    afterAll(() => void execFileSync('ip', ['netns', 'delete', NAMESPACE]));
    beforeEach(() => {
      host.remove();
      host = new Host(compiled, ['ip', 'netns', 'exec', NAMESPACE]);
    });

    const ALERTS =
      'checkinterval=1\nchecktimeout=1\nemailalert="a@x.example, b@y.example"\nemailalertfreq=1\nsmtp=127.0.0.1\n';
    const DEAD = 'virtual=192.0.2.1:80\n\treal=127.0.0.1:9 masq\n\tchecktype=connect\n';

    test('a dead mail server delays nothing: the log says why no mail goes', async () => {
      host.write(ALERTS + DEAD);
      host.run('user.cf', 'start');
      await host.until(() => host.log().includes('not sent: mail server 127.0.0.1: nobody listens on port 25'));
      host.run('user.cf', 'stop');
      await host.until(() => host.pidOf('user.cf') === null);
    });

    test.skipIf(!existsSync(python) || !existsSync('/usr/lib/python3/dist-packages/aiosmtpd'))(
      'reaches a real mail server, again and again while the server is down (needs python3-aiosmtpd)',
      async () => {
        const words = [
          '-u',
          '-m',
          'aiosmtpd',
          '-n',
          '-l',
          '127.0.0.1:25',
          '-c',
          'aiosmtpd.handlers.Debugging',
          'stdout',
        ];
        const mailServer = host.startOther(['ip', 'netns', 'exec', NAMESPACE, python, ...words]);
        host.write(ALERTS + DEAD);
        await host.until(() => readFileSync(`/proc/${mailServer.child.pid}/net/tcp`, 'utf8').includes(':0019 '));
        host.run('user.cf', 'start');
        const inaccessible = /^Subject: Inaccessible real server: 127\.0\.0\.1:9 \(192\.0\.2\.1:80\)$/gm;
        await host.until(() => (mailServer.said().match(inaccessible) ?? []).length >= 3);
        expect(mailServer.said()).toMatch(/^To: a@x\.example, b@y\.example$/m);
        expect(mailServer.said()).toMatch(/^Reason: .*refused/im);
        host.run('user.cf', 'stop');
        await host.until(() => host.pidOf('user.cf') === null);
      },
    );
  },
);
