/**
 * `uipvsd` over the fake data plane, to be started as a process: everything but the packets. FAKE_LOCK names the
 * lock; FAKE_CLOSE=never makes a data plane that cannot be closed, FAKE_MISTAKE=yes a mistake soon after the start.
 */
import { runDaemon } from '../../src/cli/run-daemon.ts';
import { FakeDataPlane, tcpService } from './fake-data-plane.ts';

const write = (stream: NodeJS.WriteStream, text: string): Promise<void> =>
  new Promise((resolve) => stream.write(text, () => resolve()));

const code = await runDaemon(process.argv.slice(2), {
  stdout: (text) => write(process.stdout, text),
  stderr: (text) => write(process.stderr, text),
  complaint: () => null,
  open: async () => {
    const dataPlane = new FakeDataPlane();
    await dataPlane.execute({ name: 'addService', service: tcpService('192.0.2.1', 80) });
    dataPlane.connections = Array.from({ length: 20_000 }, (_, index) => ({
      protocol: 'TCP',
      client: { address: '198.51.100.7', port: index },
      virtual: { address: '192.0.2.1', port: 80 },
      destination: { address: '10.0.0.1', port: 80 },
      state: 'ESTABLISHED',
      expiresSeconds: 899,
      template: false,
      origin: 'LOCAL' as const,
    }));
    dataPlane.pageItems = 1_000;
    if (process.env['FAKE_CLOSE'] === 'never') dataPlane.close = () => new Promise(() => setInterval(() => {}, 1_000));
    if (process.env['FAKE_MISTAKE']) setTimeout(() => Promise.reject(new Error('an invariant broke')), 300);
    return { dataPlane, io: 'fake', links: ['eth0', 'lo'] };
  },
  lockName: process.env['FAKE_LOCK'] ?? 'uipvs-test-fake',
});
process.exit(code);
