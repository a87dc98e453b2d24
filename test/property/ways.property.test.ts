/** Rules that always hold for traffic through the engine, over random flows. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeFrame } from '../support/decode.ts';
import { clientFrame, REAL1, REAL2, REAL3, serverFrame, VIP, World } from '../support/world.ts';

const flow = fc.record({
  client: fc.tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.integer({ min: 1, max: 254 })),
  port: fc.integer({ min: 1024, max: 65_535 }),
  payload: fc.uint8Array({ maxLength: 64 }),
});
type Flow = Parameters<Parameters<typeof flow.map>[0]>[0];

function worldOf(sourceNat: 'none' | 'masquerade'): World {
  const world = new World({ sourceNat });
  world.addService('wrr', [
    [REAL1, 3],
    [REAL2, 2],
    [REAL3, 1],
  ]);
  return world;
}

const addressOf = ({ client }: Flow): string => client.join('.');
/** Not an address of the director's side, which a client cannot have. */
const isOutside = ({ client: [first] }: Flow): boolean => first !== 10 && first !== 127;

function endpoints(frame: Uint8Array) {
  const [, ip, tcp] = decodeFrame(frame);
  return {
    from: ip!.fields['from'] as string,
    to: ip!.fields['to'] as string,
    fromPort: tcp!.fields['fromPort'] as number,
    toPort: tcp!.fields['toPort'] as number,
    checksums: [ip!.fields['checksum'], tcp!.fields['checksum']],
  };
}

test.each(['none', 'masquerade'] as const)('the way back restores the client’s view (source NAT: %s)', (sourceNat) => {
  fc.assert(
    fc.property(flow.filter(isOutside), (one) => {
      const world = worldOf(sourceNat);
      const client = addressOf(one);
      world.fromClient(clientFrame().ipv4(client, VIP).tcp(one.port, 80, { syn: true, payload: one.payload }));
      const there = endpoints(world.toServer());
      const reply = serverFrame()
        .ipv4(there.to, there.from)
        .tcp(there.toPort, there.fromPort, { syn: true, ack: true });
      world.fromServer(reply);
      expect(endpoints(world.toClient())).toEqual({
        from: VIP,
        to: client,
        fromPort: 80,
        toPort: one.port,
        checksums: ['valid', 'valid'],
      });
    }),
  );
});

test('the same inputs give the same bytes, every time', () => {
  fc.assert(
    fc.property(fc.array(flow.filter(isOutside), { maxLength: 20 }), (flows) => {
      const play = (): string[] => {
        const world = worldOf('masquerade');
        return flows.flatMap((one) => {
          world.fromClient(
            clientFrame().ipv4(addressOf(one), VIP).tcp(one.port, 80, { syn: true, payload: one.payload }),
          );
          return world.take().map(({ link, bytes }) => `${link} ${Buffer.from(bytes).toString('hex')}`);
        });
      };
      expect(play()).toEqual(play());
    }),
    { numRuns: 30 },
  );
});
