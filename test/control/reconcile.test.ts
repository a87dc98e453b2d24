import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allServices } from '../../src/control/pages.ts';
import { type DesiredService, reconcile } from '../../src/control/reconcile.ts';
import type { DestinationSpec } from '../../src/model/destination.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import { formatEndpoint, formatServiceKey, type ServiceKey } from '../../src/model/service.ts';
import { FakeDataPlane, server, tcpService } from '../support/fake-data-plane.ts';

const web = tcpService('192.0.2.1', 80);

// Few keys and few values, so that two random states have much in common.
const serviceKey: fc.Arbitrary<ServiceKey> = fc.oneof(
  fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    address: fc.constantFrom('192.0.2.1', '2001:db8::1'),
    port: fc.constantFrom(0, 80),
  }),
  fc.record({ mark: fc.constantFrom(1, 2), family: fc.constantFrom('ipv4' as const, 'ipv6' as const) }),
);
const destination: fc.Arbitrary<DestinationSpec> = fc.record({
  address: fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1'),
  port: fc.constantFrom(80, 8080),
  method: fc.constantFrom('masquerade' as const, 'direct' as const, 'tunnel' as const),
  weight: fc.constantFrom(0, 1, 2),
  upperThreshold: fc.constantFrom(0, 10),
  lowerThreshold: fc.constantFrom(0, 5),
  tunnel: fc.constantFrom(PLAIN_TUNNEL, { type: 'gue' as const, port: 6080, checksum: 'none' as const }),
});
const service: fc.Arbitrary<DesiredService> = fc.record({
  spec: fc.record({
    key: serviceKey,
    scheduler: fc.constantFrom('rr', 'wlc'),
    schedulerFlags: fc.subarray([1, 2, 3] as const),
    persistenceTimeoutSeconds: fc.constantFrom(null, 300),
    netmask: fc.constantFrom('255.255.255.255', '255.255.255.0'),
    persistenceEngine: fc.constantFrom(null, 'sip'),
    onePacket: fc.boolean(),
    sourceNat: fc.constantFrom('none' as const, 'masquerade' as const),
  }),
  destinations: fc.uniqueArray(destination, {
    maxLength: 4,
    selector: ({ address, port }) => formatEndpoint(address, port),
  }),
});
const state = fc.uniqueArray(service, { maxLength: 6, selector: ({ spec }) => formatServiceKey(spec.key) });

async function tableWith(services: readonly DesiredService[]): Promise<FakeDataPlane> {
  const dataPlane = new FakeDataPlane();
  for (const { spec, destinations } of services) {
    await dataPlane.execute({ name: 'addService', service: spec });
    for (const each of destinations) {
      await dataPlane.execute({ name: 'addDestination', service: spec.key, destination: each });
    }
  }
  return dataPlane;
}

/** A state without the order of its parts, and without tunnels where no tunnel is used. */
function picture(services: readonly DesiredService[]): unknown {
  const plain = (spec: DestinationSpec): unknown => (spec.method === 'tunnel' ? spec : { ...spec, tunnel: null });
  return new Map(
    services
      .map(({ spec, destinations }): [string, unknown] => [
        formatServiceKey(spec.key),
        {
          spec,
          destinations: new Map(destinations.map((each) => [formatEndpoint(each.address, each.port), plain(each)])),
        },
      ])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

async function pictureOf(dataPlane: FakeDataPlane): Promise<unknown> {
  const services = await allServices(dataPlane);
  return picture(
    services.map(({ spec, destinations }) => ({ spec, destinations: destinations.map((each) => each.spec) })),
  );
}

describe('reconcile', () => {
  test('makes the desired state out of any other, and then has nothing left to do', async () => {
    await fc.assert(
      fc.asyncProperty(state, state, async (desired, before) => {
        const dataPlane = await tableWith(before);
        for (const command of reconcile(desired, await allServices(dataPlane))) await dataPlane.execute(command);
        expect(await pictureOf(dataPlane)).toEqual(picture(desired));
        expect(reconcile(desired, await allServices(dataPlane))).toEqual([]);
      }),
      { numRuns: 300, verbose: 1 },
    );
  });

  test('leaves services alone that are not its own', async () => {
    await fc.assert(
      fc.asyncProperty(state, state, async (desired, before) => {
        const own = (key: ServiceKey): boolean => !('mark' in key);
        const dataPlane = await tableWith(before);
        for (const command of reconcile(desired, await allServices(dataPlane), { mayDelete: own })) {
          await dataPlane.execute(command);
        }
        const wanted = new Set(desired.map(({ spec }) => formatServiceKey(spec.key)));
        const foreign = before.filter(({ spec }) => !own(spec.key) && !wanted.has(formatServiceKey(spec.key)));
        expect(await pictureOf(dataPlane)).toEqual(picture([...desired, ...foreign]));
      }),
      { numRuns: 200, verbose: 1 },
    );
  });

  test('never empties a service that shall have destinations', async () => {
    const dataPlane = await tableWith([{ spec: web, destinations: [server('10.0.0.1', 80)] }]);
    const commands = reconcile([{ spec: web, destinations: [server('10.0.0.2', 80)] }], await allServices(dataPlane));
    expect(commands.map((command) => command.name)).toEqual(['addDestination', 'deleteDestination']);
  });

  test('fills new services before it deletes old ones', () => {
    const old = { spec: tcpService('192.0.2.2', 80), destinations: [] };
    const commands = reconcile([{ spec: web, destinations: [server('10.0.0.1', 80)] }], [old]);
    expect(commands.map((command) => command.name)).toEqual(['addService', 'addDestination', 'deleteService']);
  });

  test('a source NAT that nobody asked for stays as it is', () => {
    const actual = [{ spec: { ...web, sourceNat: 'masquerade' }, destinations: [] }];
    expect(reconcile([{ spec: web, destinations: [] }], actual)).toEqual([]);
    expect(reconcile([{ spec: { ...web, sourceNat: 'none' }, destinations: [] }], actual)).toHaveLength(1);
  });

  test('the tunnel of a destination that is not tunnelled makes no difference', () => {
    const actual = [{ spec: web, destinations: [{ spec: server('10.0.0.1', 80) }] }];
    const gue = { type: 'gue' as const, port: 6080, checksum: 'none' as const };
    expect(reconcile([{ spec: web, destinations: [server('10.0.0.1', 80, { tunnel: gue })] }], actual)).toEqual([]);
  });
});
