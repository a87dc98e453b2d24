import { expect, test } from 'vitest';
import { BPF_INSTRUCTIONS_MAX, BpfAssembler, BpfCode } from '../../src/wire/bpf.ts';
import { runBpf } from '../support/bpf-interpreter.ts';

test('a jump is written as the number of instructions to skip', () => {
  const asm = new BpfAssembler();
  const yes = asm.label();
  asm.add(BpfCode.LOAD_HALF, 12);
  asm.jumpIf(BpfCode.IF_EQUAL, 0x0800, yes);
  asm.add(BpfCode.RETURN, 0);
  asm.place(yes);
  asm.add(BpfCode.RETURN, 0x40000);
  expect(asm.assemble()).toEqual([
    [0x28, 0, 0, 12],
    [0x15, 1, 0, 0x0800],
    [0x06, 0, 0, 0],
    [0x06, 0, 0, 0x40000],
  ]);
});

test.each([
  ['if', 254],
  ['if', 255],
  ['if', 256],
  ['if', 1000],
  ['unless', 255],
  ['unless', 256],
  ['unless', 3000],
] as const)('a jump "%s" over %i instructions goes where it should', (kind, distance) => {
  const asm = new BpfAssembler();
  const far = asm.label();
  asm.add(BpfCode.LOAD_BYTE, 0);
  if (kind === 'if') asm.jumpIf(BpfCode.IF_EQUAL, 7, far);
  else asm.jumpUnless(BpfCode.IF_EQUAL, 7, far);
  for (let n = 1; n < distance; n++) asm.add(BpfCode.ADD, 1);
  asm.add(BpfCode.RETURN, 1);
  asm.place(far);
  asm.add(BpfCode.RETURN, 2);
  const program = asm.assemble() ?? [];
  expect(runBpf(program, Uint8Array.of(7))).toBe(kind === 'if' ? 2 : 1);
  expect(runBpf(program, Uint8Array.of(8))).toBe(kind === 'if' ? 1 : 2);
});

test('jumps that push each other out of reach are all lengthened', () => {
  const asm = new BpfAssembler();
  const end = asm.label();
  asm.add(BpfCode.LOAD_BYTE, 0);
  for (let value = 0; value < 600; value++) asm.jumpIf(BpfCode.IF_EQUAL, value % 256, end);
  asm.add(BpfCode.RETURN, 1);
  asm.place(end);
  asm.add(BpfCode.RETURN, 2);
  for (const byte of [0, 1, 100, 255]) expect(runBpf(asm.assemble() ?? [], Uint8Array.of(byte))).toBe(2);
});

test('what no kernel takes is no program', () => {
  const asm = new BpfAssembler();
  for (let n = 0; n < BPF_INSTRUCTIONS_MAX; n++) asm.add(BpfCode.RETURN, 0);
  expect(asm.assemble()).toHaveLength(BPF_INSTRUCTIONS_MAX);
  asm.add(BpfCode.RETURN, 0);
  expect(asm.assemble()).toBeNull();
});

test('a jump to nowhere, or backwards, is a mistake of the caller', () => {
  const nowhere = new BpfAssembler();
  nowhere.jump(nowhere.label());
  expect(() => nowhere.assemble()).toThrow(/nowhere/);
  const back = new BpfAssembler();
  const begin = back.label();
  back.place(begin);
  back.add(BpfCode.LOAD_LENGTH);
  back.jump(begin);
  expect(() => back.assemble()).toThrow(/backwards/);
});
