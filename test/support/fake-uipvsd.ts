/**
 * `uipvsd` over the fake data plane, to be started as a process: everything but the packets. FAKE_LOCK names the
 * lock; FAKE_CONNECTIONS is how many there are; FAKE_CLOSE=never makes a data plane that cannot be closed, FAKE_MISTAKE=yes a mistake soon after the start.
 */
import type { DataPlaneKind } from '../../src/cli/choose-data-plane.ts';
import { runDaemon } from '../../src/cli/run-daemon.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import { FakeDataPlane, tcpService } from './fake-data-plane.ts';

/** Rows are made when a page of them is asked for. */
function connections(count: number): ConnectionStatus[] {
  const row = (index: number): ConnectionStatus => ({
    protocol: 'TCP',
    client: { address: `198.51.${(index >>> 24) & 255}.${(index >>> 16) & 255}`, port: index & 65_535 },
    virtual: { address: '192.0.2.1', port: 80 },
    destination: { address: '10.0.0.1', port: 80 },
    state: 'ESTABLISHED',
    expiresSeconds: 899,
    template: false,
    origin: 'LOCAL',
  });
  const slice = (from: number, to: number): ConnectionStatus[] =>
    Array.from({ length: Math.max(Math.min(to, count) - from, 0) }, (_, index) => row(from + index));
  return { length: count, slice } as unknown as ConnectionStatus[];
}

const write = (stream: NodeJS.WriteStream, text: string): Promise<void> =>
  new Promise((resolve) => stream.write(text, () => resolve()));

const FAKE: DataPlaneKind = {
  name: 'fake',
  summary: 'everything but the packets',
  unavailable: async () => null,
  open: async () => {
    const dataPlane = new FakeDataPlane();
    await dataPlane.execute({ name: 'addService', service: tcpService('192.0.2.1', 80) });
    dataPlane.connections = connections(Number(process.env['FAKE_CONNECTIONS'] ?? 20_000));
    dataPlane.pageItems = 1_000;
    if (process.env['FAKE_CLOSE'] === 'never') dataPlane.close = () => new Promise(() => setInterval(() => {}, 1_000));
    if (process.env['FAKE_MISTAKE']) setTimeout(() => Promise.reject(new Error('an invariant broke')), 300);
    const passedOver = process.env['FAKE_PASSED_OVER'];
    return {
      dataPlane,
      io: 'fake',
      links: ['eth0', 'lo'],
      sysctl: [],
      ...(passedOver === undefined ? {} : { ioPassedOver: [passedOver], ffi: 'koffi 3' }),
    };
  },
};

const code = await runDaemon(process.argv.slice(2), {
  stdout: (text) => write(process.stdout, text),
  stderr: (text) => write(process.stderr, text),
  choose: async () => ({ kind: FAKE, why: 'for tests', secondBest: false }),
  lockName: process.env['FAKE_LOCK'] ?? 'uipvs-test-fake',
});
process.exit(code);
