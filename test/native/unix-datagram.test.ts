import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nativeCallsWork } from '../../src/native/ffi.ts';
import { sendUnixDatagram } from '../../src/native/unix-datagram.ts';
import { DatagramReceiver } from '../support/datagram-receiver.ts';
import { temporaryDirectory } from '../support/served.ts';

describe.skipIf(!nativeCallsWork())('a Unix datagram (needs koffi)', () => {
  test.each(['in a directory', 'with an abstract name'])('reaches a socket %s', (where) => {
    const path = where.includes('abstract') ? `@uild-${process.pid}` : join(temporaryDirectory(), 'socket');
    const receiver = new DatagramReceiver(path);
    sendUnixDatagram(path, 'READY=1\nSTATUS=grüße');
    sendUnixDatagram(path, 'x'.repeat(100_000));
    expect(receiver.received()).toEqual(['READY=1\nSTATUS=grüße', 'x'.repeat(32_768)]);
    receiver.close();
  });

  test('to nobody is an error with its name', () => {
    expect(() => sendUnixDatagram(join(temporaryDirectory(), 'none'), 'x')).toThrow(/ENOENT/);
    expect(() => sendUnixDatagram(`@uild-none-${process.pid}`, 'x')).toThrow(/ECONNREFUSED/);
  });

  test('whose listener does not read is refused, not waited for', () => {
    const receiver = new DatagramReceiver(join(temporaryDirectory(), 'socket'));
    const send = () => {
      for (let n = 0; n < 100_000; n++) sendUnixDatagram(receiver.path, 'x');
    };
    expect(send).toThrow(/EAGAIN/);
    receiver.close();
  });

  test('to a path that no socket can have is said', () => {
    expect(() => sendUnixDatagram(`/${'x'.repeat(120)}`, 'x')).toThrow(/at most 107 bytes/);
  });
});
