/** The parts of the back end `xdp` that need no kernel: who has which chunk, and the assembler. */
import { describe, expect, test } from 'vitest';
import { Chunks } from '../../src/packet-io/xdp/chunks.ts';
import { EbpfAssembler } from '../../src/wire/ebpf.ts';
import { runXdp } from './support/bpf-interpreter.ts';

describe('chunks', () => {
  test('go round: lent, held with a frame, sent, free', () => {
    const chunks = new Chunks(2);
    const [a, b] = [chunks.lend(0), chunks.lend(0)];
    expect(new Set([a, b]).size).toBe(2);
    expect(chunks.lend(0)).toBe(-1);
    chunks.hold(a);
    chunks.hold(b);
    expect(chunks.send(a, 1)).toBe(true);
    chunks.endFill();
    // What is sent is not free before it was sent.
    expect(chunks.freeCount).toBe(1);
    chunks.sent(a);
    expect(chunks.freeCount).toBe(2);
  });

  test('only a held one can be sent, and only once', () => {
    const chunks = new Chunks(4);
    const a = chunks.lend(0);
    expect(chunks.send(a, 0)).toBe(false);
    chunks.hold(a);
    expect(chunks.send(a, 0)).toBe(true);
    expect(chunks.send(a, 0)).toBe(false);
    chunks.sent(a);
    chunks.sent(a);
    chunks.endFill();
    expect(chunks.freeCount).toBe(4);
    expect(chunks.send(a, 0)).toBe(false);
  });

  test('one that was refused while the fill lasts is free once, not twice', () => {
    const chunks = new Chunks(1);
    const a = chunks.lend(0);
    chunks.hold(a);
    chunks.send(a, 0);
    chunks.sent(a);
    chunks.endFill();
    expect(chunks.freeCount).toBe(1);
    expect([chunks.lend(0), chunks.lend(0)]).toEqual([0, -1]);
  });

  test('an owner that goes gives up what it had, and nothing of others', () => {
    const chunks = new Chunks(6);
    const own = [chunks.lend(0), chunks.lend(0), chunks.lend(0)];
    chunks.lend(1);
    const held = chunks.lend(1);
    chunks.hold(held);
    chunks.hold(own[0] as number);
    chunks.send(own[0] as number, 1);
    chunks.forget(0);
    expect(chunks.freeCount).toBe(3);
    chunks.forget(1);
    expect(chunks.freeCount).toBe(5);
    chunks.endFill();
    expect(chunks.freeCount).toBe(6);
  });
});

describe('the assembler', () => {
  const run = (program: Uint8Array) =>
    runXdp(program, new Uint8Array(64), 3, { lookUp: () => null, keyBytes: () => 4, redirect: () => 4 });

  test('writes what an interpreter of the specification reads', () => {
    const program = new EbpfAssembler()
      .load('word', 0, 1, 16)
      .value('add', 0, 40)
      .value('shiftLeft', 0, 4)
      .value('shiftRight', 0, 4)
      .storeValue('double', 10, -8, -1)
      .load('half', 2, 10, -8)
      .value('and', 2, 0x0100)
      .networkHalf(2)
      .register('add', 0, 2)
      .jumpIf('equal', 0, 44, 'right')
      .value('move', 0, 0)
      .label('right')
      .exit()
      .finish();
    expect(run(program)).toBe(44);
  });

  test('has the encoding of the specification', () => {
    const program = new EbpfAssembler()
      .load('half', 2, 7, 12)
      .jumpIf('notEqual', 2, 8, 'end')
      .store('byte', 10, -5, 2)
      .map(1, 9)
      .label('end')
      .exit()
      .finish();
    expect(Buffer.from(program).toString('hex').match(/.{16}/g)).toEqual([
      '69720c0000000000',
      '5502030008000000',
      '732afbff00000000',
      '1811000009000000',
      '0000000000000000',
      '9500000000000000',
    ]);
  });

  test('refuses jumps to nowhere and back, and labels that are there already', () => {
    expect(() => new EbpfAssembler().jump('nowhere').finish()).toThrow('nobody has put the label nowhere');
    expect(() => new EbpfAssembler().label('back').jump('back').finish()).toThrow('the jump to back goes back');
    expect(() => new EbpfAssembler().label('a').label('a')).toThrow('label a is there already');
  });
});
