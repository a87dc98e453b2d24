import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { takeServiceManager } from '../../src/control/service-manager.ts';

let told: string[];
const notify = (socket: string, message: string): void => void told.push(`${socket} ${message}`);

beforeEach(() => {
  told = [];
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

describe('a service manager', () => {
  test('hears of every state in this order, and children do not inherit its ear', async () => {
    const environment: NodeJS.ProcessEnv = { NOTIFY_SOCKET: '/n', WATCHDOG_USEC: '10', WATCHDOG_PID: '1', OTHER: 'x' };
    const slowly = async (socket: string, message: string): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, message.startsWith('READY') ? 500 : 1));
      notify(socket, message);
    };
    const manager = takeServiceManager(environment, slowly, () => {});
    expect(environment).toEqual({ OTHER: 'x' });
    manager.status('checking');
    manager.ready('2 services\nwith servers');
    manager.reloading();
    manager.stopping();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(told.map((line) => line.replace(/USEC=\d+/, 'USEC=N'))).toEqual([
      '/n STATUS=checking',
      '/n READY=1\nSTATUS=2 services with servers',
      '/n RELOADING=1\nMONOTONIC_USEC=N\nSTATUS=reloading',
      '/n STOPPING=1\nSTATUS=stopping',
    ]);
  });

  test('that is not there is told nothing', () => {
    const manager = takeServiceManager({ WATCHDOG_USEC: '1000000' }, notify, () => {});
    manager.ready('x');
    manager.guard(() => true);
    vi.advanceTimersByTime(5_000);
    expect(told).toEqual([]);
  });

  test('is reassured twice in each period, as long as all is well', async () => {
    const manager = takeServiceManager({ NOTIFY_SOCKET: '/n', WATCHDOG_USEC: '2000000' }, notify, () => {});
    let well = true;
    manager.guard(async () => well);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(told).toHaveLength(5);
    expect(new Set(told)).toEqual(new Set(['/n WATCHDOG=1']));
    well = false;
    await vi.advanceTimersByTimeAsync(4_000);
    expect(told).toHaveLength(5);
  });

  test('is not reassured by a part that hangs', async () => {
    const manager = takeServiceManager({ NOTIFY_SOCKET: '/n', WATCHDOG_USEC: '2000000' }, notify, () => {});
    manager.guard(() => new Promise<boolean>(() => {}));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(told).toEqual([]);
  });

  test('may watch another process than this one', async () => {
    const other = { NOTIFY_SOCKET: '/n', WATCHDOG_USEC: '2000000', WATCHDOG_PID: String(process.pid + 1) };
    takeServiceManager(other, notify, () => {}).guard(() => true);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(told).toEqual([]);
  });

  test('that cannot be reached is complained about once', async () => {
    const complaints: string[] = [];
    const broken = async (): Promise<void> => Promise.reject(new Error('gone'));
    const manager = takeServiceManager({ NOTIFY_SOCKET: '/n' }, broken, (text) => complaints.push(text));
    manager.ready('x');
    manager.stopping();
    await vi.advanceTimersByTimeAsync(1);
    expect(complaints).toEqual(['the service manager cannot be told (READY=1): gone']);
  });
});
