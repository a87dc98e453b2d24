import { describe, expect, test } from 'vitest';
import { Errno, errnoName, getLibc, LibcError } from '../../src/native/libc.ts';
import { MessageVector } from '../../src/native/message-vector.ts';
import { NativeMemory } from '../../src/native/native-memory.ts';
import { wakeEventFd } from '../../src/native/wake.ts';

function libcOrReason() {
  try {
    return { libc: getLibc(), reason: null };
  } catch (error) {
    return { libc: null, reason: (error as Error).message };
  }
}
const { libc, reason } = libcOrReason();

describe.skipIf(libc === null)(`the C library${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  const AF_UNIX = 1;
  const SOCK_DGRAM = 2;

  test('a failed call throws its errno name', () => {
    expect(() => libc!.socket(9999, SOCK_DGRAM, 0)).toThrow(LibcError);
    expect(() => libc!.socket(9999, SOCK_DGRAM, 0)).toThrow('socket: EAFNOSUPPORT');
    expect(() => libc!.close(99999)).toThrow('close: EBADF');
  });

  test('a failed call of the packet loop leaves its errno', () => {
    expect(libc!.recv(99999, 0, 0, 0)).toBe(-1);
    expect(libc!.errnoText()).toBe('EBADF');
    expect(errnoName(Errno.EAGAIN)).toBe('EAGAIN');
    expect(errnoName(4095)).toBe('errno 4095');
  });

  test('an event wakes poll, and reading takes it back', () => {
    const fd = libc!.eventfd();
    const memory = new NativeMemory(libc!, 4096);
    memory.view.setInt32(0, fd, true);
    memory.view.setInt16(4, 1, true);
    expect(libc!.poll(memory.address, 1, 0)).toBe(0);
    wakeEventFd(fd);
    wakeEventFd(fd);
    expect(libc!.poll(memory.address, 1, 0)).toBe(1);
    expect(libc!.read(fd, memory.address + 64, 8)).toBe(8);
    expect(memory.view.getBigUint64(64, true)).toBe(2n);
    expect(libc!.poll(memory.address, 1, 0)).toBe(0);
    libc!.close(fd);
  });

  test('many messages go out in one call and come in by one', () => {
    // An abstract address: a socket that sends to itself.
    const fd = libc!.socket(AF_UNIX, SOCK_DGRAM, 0);
    const name = Buffer.from(`\x01\x00\x00uipvs-test-${process.pid}`, 'latin1');
    libc!.bind(fd, name);
    libc!.connect(fd, name);
    const memory = new NativeMemory(libc!, 8192);
    const out = new MessageVector(libc!, 3);
    const incoming = new MessageVector(libc!, 5);
    ['one', 'three', ''].forEach((text, i) => {
      memory.bytes.set(Buffer.from(text), i * 16);
      out.set(i, memory.address + i * 16, text.length);
    });
    for (let i = 0; i < 5; i++) incoming.set(i, memory.address + 4096 + i * 16, 4);
    expect(libc!.sendmmsg(fd, out.address(0), 3, 0x40)).toBe(3);
    expect(libc!.recvmmsg(fd, incoming.address(0), 5, 0x40)).toBe(3);
    expect([0, 1, 2].map((i) => incoming.length(i))).toEqual([3, 4, 0]);
    expect([0, 1].map((i) => incoming.flags(i) & 0x20)).toEqual([0, 0x20]);
    expect(Buffer.from(memory.bytes.slice(4096, 4099)).toString()).toBe('one');
    expect(libc!.recvmmsg(fd, incoming.address(0), 5, 0x40)).toBe(-1);
    expect(libc!.errno()).toBe(Errno.EAGAIN);
    libc!.close(fd);
  });

  test('addresses and interface names are read as the system reads them', () => {
    expect([...libc!.parseAddress('10.1.2.3')!]).toEqual([10, 1, 2, 3]);
    expect(libc!.parseAddress('::1')?.length).toBe(16);
    expect(libc!.parseAddress('10.1')).toBe(null);
    expect(libc!.interfaceIndex('lo')).toBe(1);
    expect(libc!.interfaceIndex('no-such-link')).toBe(0);
  });

  test('memory comes zeroed and is what the address says', () => {
    const memory = new NativeMemory(libc!, 4096);
    expect(memory.bytes.every((byte) => byte === 0)).toBe(true);
    memory.bytes[17] = 42;
    expect(new Uint8Array(libc!.view(memory.address + 16, 4))[1]).toBe(42);
  });
});
