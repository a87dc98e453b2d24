import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connectDataPlane } from '../../src/control/client.ts';
import { startDaemon } from '../../src/control/daemon.ts';
import { checkSocketPath, listenPath, networkNamespace, socketPath } from '../../src/control/socket-path.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { buildForProcesses, type Started, startProcess } from '../support/built.ts';
import { FakeDataPlane } from '../support/fake-data-plane.ts';
import { memoryLogger, post, serve, temporaryDirectory, uniqueLockName, until } from '../support/served.ts';

describe('a daemon', () => {
  test('leaves nothing behind when it is closed, and closes its data plane once', async () => {
    const directory = join(temporaryDirectory(), 'uipvs');
    const socket = join(directory, '1.sock');
    const { daemon, dataPlane } = await serve({ socket });
    expect(statSync(directory).mode & 0o777).toBe(0o755);
    expect(readFileSync(join(directory, '1.pid'), 'utf8')).toBe(`${process.pid}\n`);
    const [first, second] = await Promise.all([daemon.close('one'), daemon.close('two')]);
    expect(first).toEqual({ reason: 'one', failed: false });
    expect(second).toEqual(first);
    expect(existsSync(socket)).toBe(false);
    expect(existsSync(join(directory, '1.pid'))).toBe(false);
    expect(dataPlane.closed).toBe(1);
    expect(dataPlane.watchers).toBe(0);
  });

  test('answers what is under way before it closes, and says good-bye to idle clients', async () => {
    const { daemon, dataPlane, socket } = await serve();
    const idle = await connectDataPlane(socket);
    let release = (): void => {};
    dataPlane.before = () =>
      new Promise<void>((resolve) => {
        release = resolve;
      });
    const answer = post(socket, { name: 'info' });
    await until(() => dataPlane.commands.length === 1, 'the command');
    const ended = daemon.close();
    release();
    expect((await answer).json().answer.version).toBe('1.2.1');
    expect((await ended).failed).toBe(false);
    await expect(idle.execute({ name: 'info' })).rejects.toMatchObject({ code: 'ENOPROTOOPT' });
  });

  test('says so when its data plane does not close', async () => {
    const { daemon, dataPlane, logger } = await serve();
    dataPlane.close = () => Promise.reject(new Error('the table is still there'));
    expect(await daemon.close()).toEqual({ reason: 'closed', failed: true });
    expect(logger.entries.map((entry) => entry.message)).toContain('closing the data plane failed');
  });

  test('a second one is refused with the pid of the first, before its data plane is opened', async () => {
    const lockName = uniqueLockName();
    const first = await serve({ lockName });
    let opened = false;
    const open = async (): Promise<FakeDataPlane> => {
      opened = true;
      return new FakeDataPlane();
    };
    const second = startDaemon(open, {
      logger: memoryLogger(),
      socket: join(temporaryDirectory(), 'second.sock'),
      signals: false,
      lockName,
    });
    await expect(second).rejects.toMatchObject({
      code: 'EBUSY',
      message: `uipvsd with pid ${process.pid} serves this network namespace already (socket ${first.socket})`,
    });
    expect(opened).toBe(false);
    await first.stop();
    const third = await serve({ lockName });
    await third.stop();
  });

  test('a lock that another program holds is refused without waiting for it for long', async () => {
    const lockName = uniqueLockName();
    const squatter = createServer(() => {}).listen(`\0${lockName}`);
    await expect(serve({ lockName })).rejects.toMatchObject({ code: 'EBUSY' });
    squatter.close();
  });

  test('of many that start at once exactly one serves', async () => {
    const lockName = uniqueLockName();
    const socket = join(temporaryDirectory(), 'contested.sock');
    const all = await Promise.allSettled(Array.from({ length: 10 }, () => serve({ lockName, socket })));
    const winners = all.filter((each) => each.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    for (const each of all) if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'EBUSY' });
    expect((await post(socket, { name: 'info' })).status).toBe(200);
    await winners[0].value.stop();
  });

  test('a socket on which somebody answers is left alone', async () => {
    const socket = join(temporaryDirectory(), 'used.sock');
    const other = createServer(() => {}).listen(socket);
    await expect(serve({ socket })).rejects.toMatchObject({
      code: 'EBUSY',
      message: `another program answers on ${socket}`,
    });
    other.close();
  });

  test('a file in the place of the socket is left alone, and the lock is given back', async () => {
    const lockName = uniqueLockName();
    const file = join(temporaryDirectory(), 'notes.txt');
    writeFileSync(file, 'dear diary');
    await expect(serve({ socket: file, lockName })).rejects.toMatchObject({ code: 'EEXIST' });
    expect(readFileSync(file, 'utf8')).toBe('dear diary');
    await (await serve({ lockName })).stop();
  });

  test('a directory that cannot be made is refused with the way out', async () => {
    const socket = join(temporaryDirectory(), 'no/such/place.sock');
    await expect(serve({ socket })).rejects.toThrow(/cannot be made \(ENOENT\); set UIPVS_SOCKET/);
  });

  test('a data plane that cannot be opened leaves no lock and no socket', async () => {
    const lockName = uniqueLockName();
    const socket = join(temporaryDirectory(), 'never.sock');
    const open = (): Promise<never> => Promise.reject(new IpvsError('ENODEV', 'there is no link eth9'));
    const options = { logger: memoryLogger(), socket, signals: false, lockName };
    await expect(startDaemon(open, options)).rejects.toMatchObject({ code: 'ENODEV' });
    expect(existsSync(socket)).toBe(false);
    await (await serve({ lockName, socket })).stop();
  });

  test('notices of the data plane are logged', async () => {
    const { dataPlane, logger, stop } = await serve();
    dataPlane.tell({ type: 'notice', level: 'warning', message: 'a worker was replaced' });
    expect(logger.entries).toContainEqual({ level: 'warn', message: 'a worker was replaced', facts: {} });
    await stop();
  });
});

describe('the path of the socket', () => {
  const namespace = 4_026_531_840;
  const directory = temporaryDirectory();
  const uid = 1_000;

  test('names the network namespace', () => {
    expect(socketPath({ environment: {}, uid: 0, namespace })).toBe('/run/uipvs/4026531840.sock');
    expect(networkNamespace()).toBeGreaterThan(0);
  });

  test('is what UIPVS_SOCKET says, for both sides', () => {
    const environment = { UIPVS_SOCKET: '/tmp/mine.sock', XDG_RUNTIME_DIR: directory };
    expect(socketPath({ environment, uid, namespace })).toBe('/tmp/mine.sock');
    expect(listenPath({ environment, uid, namespace })).toBe('/tmp/mine.sock');
  });

  test('of an ordinary user lies in XDG_RUNTIME_DIR unless there is a shared one', () => {
    const environment = { XDG_RUNTIME_DIR: '/run/user/1000' };
    const runDirectory = join(directory, 'shared');
    const own = '/run/user/1000/uipvs/4026531840.sock';
    const shared = join(runDirectory, '4026531840.sock');
    expect(socketPath({ environment, uid, namespace, runDirectory })).toBe(own);
    expect(socketPath({ environment: {}, uid, namespace, runDirectory })).toBe(shared);
    mkdirSync(runDirectory);
    writeFileSync(shared, '');
    expect(socketPath({ environment, uid, namespace, runDirectory })).toBe(shared);
  });

  test('of a daemon lies in XDG_RUNTIME_DIR when the shared directory cannot be used', () => {
    const environment = { XDG_RUNTIME_DIR: '/run/user/1000' };
    expect(listenPath({ environment, uid, namespace, runDirectory: join(directory, 'none/uipvs') })).toBe(
      '/run/user/1000/uipvs/4026531840.sock',
    );
    expect(listenPath({ environment, uid, namespace, runDirectory: join(directory, 'run') })).toBe(
      join(directory, 'run/4026531840.sock'),
    );
  });

  test('may be as long as the kernel takes it', () => {
    expect(checkSocketPath(`/${'x'.repeat(106)}`)).toHaveLength(107);
    expect(() => checkSocketPath(`/${'x'.repeat(107)}`)).toThrow('is 108 bytes long and may have 107');
  });
});

describe('the process uipvsd', () => {
  let built: string;
  const running: Started[] = [];
  beforeAll(() => {
    built = buildForProcesses();
  });
  afterEach(() => {
    for (const { child } of running.splice(0)) child.kill('SIGKILL');
  });
  afterAll(() => {
    expect(running).toEqual([]);
  });

  interface Place {
    readonly socket: string;
    readonly lock: string;
  }
  const place = (): Place => ({ socket: join(temporaryDirectory(), 'api.sock'), lock: uniqueLockName() });

  function launch({ socket, lock }: Place, environment: NodeJS.ProcessEnv = {}): Started {
    const file = join(built, 'test/support/fake-uipvsd.js');
    const started = startProcess(file, ['--socket', socket], { FAKE_LOCK: lock, ...environment });
    running.push(started);
    return started;
  }
  async function launchReady(at: Place, environment: NodeJS.ProcessEnv = {}): Promise<Started> {
    const started = launch(at, environment);
    await until(() => started.stdout().includes('\n'), 'the ready line');
    return started;
  }

  test('says in one line that it is ready, and ends with 0 on SIGTERM', async () => {
    const at = place();
    const { child, finished } = await launchReady(at);
    expect(readFileSync(at.socket.replace('.sock', '.pid'), 'utf8')).toBe(`${child.pid}\n`);
    expect((await post(at.socket, { name: 'info' })).status).toBe(200);
    child.kill('SIGTERM');
    const { code, stdout, stderr } = await finished;
    expect(code).toBe(0);
    expect(stdout).toBe(
      `uipvsd ready: fake, data plane fake (for tests), namespace ${networkNamespace()}, socket ${at.socket}, links eth0, lo\n`,
    );
    for (const line of stderr.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ program: 'uipvsd' });
    expect(existsSync(at.socket)).toBe(false);
    expect(existsSync(at.socket.replace('.sock', '.pid'))).toBe(false);
  });

  test.each(['SIGINT', 'SIGHUP'] as const)('ends with 0 on %s', async (signal) => {
    const { child, finished } = await launchReady(place());
    child.kill(signal);
    expect((await finished).code).toBe(0);
  });

  test('ends at once at the second signal, without its socket', async () => {
    const at = place();
    const { child, finished, stderr } = await launchReady(at, { FAKE_CLOSE: 'never' });
    child.kill('SIGTERM');
    await until(() => stderr().includes('"ending"'), 'the first signal');
    child.kill('SIGINT');
    const end = await finished;
    expect(end.code).toBe(130);
    expect(end.stderr).toContain('what was set up in the host may still be there');
    expect(existsSync(at.socket)).toBe(false);
  });

  test('a second process is told the pid of the first in one sentence', async () => {
    const at = place();
    const first = await launchReady(at);
    const { code, stdout, stderr } = await launch(at).finished;
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toBe(
      `uipvsd: uipvsd with pid ${first.child.pid} serves this network namespace already (socket ${at.socket})\n`,
    );
    expect((await post(at.socket, { name: 'info' })).status).toBe(200);
  });

  test('takes over from one that was killed', async () => {
    const at = place();
    const first = await launchReady(at);
    first.child.kill('SIGKILL');
    await first.finished;
    expect(existsSync(at.socket)).toBe(true);
    await expect(connectDataPlane(at.socket)).rejects.toMatchObject({ code: 'ENOPROTOOPT' });
    const second = await launchReady(at);
    expect((await post(at.socket, { name: 'info' })).status).toBe(200);
    expect(second.stderr()).toContain('took over the socket of a dead daemon');
  });

  test('goes on when the reader of its standard output is gone', async () => {
    const at = place();
    const { child, finished } = await launchReady(at);
    child.stdout.destroy();
    child.stderr.destroy();
    await post(at.socket, { name: 'nothing' });
    expect((await post(at.socket, { name: 'info' })).status).toBe(200);
    child.kill('SIGTERM');
    expect((await finished).code).toBe(0);
  });

  test('takes itself down with 1 after a mistake of its own', async () => {
    const at = place();
    const { finished } = await launchReady(at, { FAKE_MISTAKE: 'yes' });
    const { code, stderr } = await finished;
    expect(code).toBe(1);
    expect(stderr).toContain('an invariant broke');
    expect(existsSync(at.socket)).toBe(false);
  });

  test('is not disturbed by a client that keeps its connection open while it ends', async () => {
    const at = place();
    const { child, finished } = await launchReady(at);
    const client = createConnection(at.socket);
    client.on('error', () => {});
    await new Promise((resolve) => client.once('connect', resolve));
    client.write('GET /v1/events HTTP/1.1\r\nhost: uipvs\r\n\r\n');
    await new Promise((resolve) => client.once('data', resolve));
    child.kill('SIGTERM');
    expect((await finished).code).toBe(0);
    client.destroy();
  });
});
