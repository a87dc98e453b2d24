/** What the player says about one small recording when the engine does something else. */
import { describe, expect, test } from 'vitest';
import { playRecording } from '../../src/conform/fit.ts';
import type { RecordedStep } from '../../src/conform/recording.ts';
import { command, PACKET, recordingOf, SET_UP } from './support.ts';

async function failureOf(...steps: readonly RecordedStep[]) {
  return (await playRecording(recordingOf([...SET_UP, ...steps]))).failure;
}

describe('a recording', () => {
  test('passes when the engine does the same', async () => {
    expect(await playRecording(recordingOf([...SET_UP, PACKET]))).toMatchObject({ passed: true, failure: null });
  });

  test('tells the field of a packet that differs, and both packets', async () => {
    const [output] = PACKET.out!;
    const hex = `${output!.hex.slice(0, 16)}3e${output!.hex.slice(18)}`;
    const failure = await failureOf({ ...PACKET, out: [{ ...output!, hex }] });
    expect(failure).toMatchObject({ step: 2, difference: { field: 'output 1, bytes' } });
    expect(failure!.difference.details![0]).toBe('IPv4 time to live: came 63, the kernel sent 62');
    expect(failure!.difference.details).toContain(`kernel ${hex}`);
    expect(failure!.difference.details).toContain(`came   ${output!.hex}`);
  });

  test.each([
    ['interface', { dev: 'c0' }, 'output 1, interface', 'c0', 's0'],
    ['next hop', { to: '10.1.0.12' }, 'output 1, next hop', '10.1.0.12', '10.1.0.11'],
  ])('tells another %s', async (_, change, field, kernel, came) => {
    const out = [{ ...PACKET.out![0]!, ...change }];
    expect((await failureOf({ ...PACKET, out }))!.difference).toMatchObject({ field, kernel, came });
  });

  test('tells a packet that was kept and came out, and one that is missing', async () => {
    expect((await failureOf({ ...PACKET, out: [] }))!.difference).toMatchObject({
      field: 'output 1',
      kernel: 'nothing',
    });
    const out = [...PACKET.out!, ...PACKET.out!];
    expect((await failureOf({ ...PACKET, out }))!.difference).toMatchObject({ field: 'output 2', came: 'nothing' });
  });

  test('tells that an answer of the host needs a packet that was given on', async () => {
    const reset = '45000028000040004006f7620a000064c000020900504e2100000000000003e95014000091410000';
    const failure = await failureOf({ ...PACKET, out: [{ dev: 'c0', to: '10.0.0.254', hex: repaired(reset) }] });
    expect(failure!.difference).toMatchObject({ field: 'output 1', kernel: 'nothing' });
  });

  test('tells that a packet given on would have been answered', async () => {
    const elsewhere = { ...PACKET, hex: repaired(PACKET.hex.replace('0050000003e8', '0051000003e8')), out: [] };
    expect((await failureOf(elsewhere))!.difference).toMatchObject({
      field: 'verdict',
      came: 'given on, and the host would have answered with a TCP reset',
    });
  });

  test('tells the line of a listing, the exit status and standard error', async () => {
    const listing = 'IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n';
    expect((await failureOf(command(0.1, 'ipvsadm -Ln', listing)))!.difference).toMatchObject({
      field: 'stdout, line 3',
      came: '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn',
    });
    expect((await failureOf(command(0.1, 'ipvsadm -Z', '', '', 255)))!.difference).toMatchObject({
      field: 'exit status',
      kernel: '255',
      came: '0',
    });
    expect((await failureOf(command(0.1, 'ipvsadm -Z', '', 'Sorry\n')))!.difference).toMatchObject({
      field: 'stderr, line 1',
      kernel: 'Sorry',
    });
  });

  test('takes an unknown scheduler from the recorded kernel, although the product has it', async () => {
    const words = 'ipvsadm -A -t 10.0.0.100:81 -s twos';
    expect(await failureOf(command(0.1, words, '', 'Scheduler or persistence engine not found\n', 255))).toBeNull();
  });
});

/** Both checksums of an IPv4 packet with TCP made right. */
function repaired(hex: string): string {
  const packet = Buffer.from(hex, 'hex');
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(sum(packet.subarray(0, 20)), 10);
  packet.writeUInt16BE(0, 36);
  const pseudo = Buffer.concat([packet.subarray(12, 20), Buffer.from([0, 6, 0, packet.length - 20])]);
  packet.writeUInt16BE(sum(Buffer.concat([pseudo, packet.subarray(20)])), 36);
  return packet.toString('hex');
}

function sum(bytes: Buffer): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += bytes.readUInt16BE(at);
  return ~((total & 0xffff) + (total >>> 16)) & 0xffff;
}
