/** From any state to any wish, all or nothing, against the engine's own table. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { desiredBalancer } from '../../src/config/desired.ts';
import { applyChanges, readActual } from '../../src/control/apply-changes.ts';
import {
  type ActualBalancer,
  type ChangePlanOptions,
  type DesiredBalancer,
  NOBODY_OUTSIDE,
  planChanges,
  type WantedService,
} from '../../src/control/change-plan.ts';
import { PACKET_ENGINE_CAPABILITIES } from '../../src/data-plane/capabilities.ts';
import { InProcessDataPlane } from '../../src/data-plane/in-process.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Command } from '../../src/model/commands.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { formatMarkRule } from '../../src/model/mark-rule.ts';
import { formatEndpoint, formatServiceKey } from '../../src/model/service.ts';
import { arbitraryBlueprint } from '../config/blueprints.ts';
import { server, tcpService } from '../support/fake-data-plane.ts';

function table(): InProcessDataPlane {
  const engine = new Engine({ seed: 1, connectionsMax: 1024, defaultSourceNat: 'none', nowMs: 0 });
  return new InProcessDataPlane({ engine, capabilities: PACKET_ENGINE_CAPABILITIES, nowMs: () => 0 });
}

const everything: ChangePlanOptions = {
  mayDelete: { service: () => true, markRule: () => true, syncDaemon: () => true },
  outside: NOBODY_OUTSIDE,
};
const nothing: ChangePlanOptions = {
  ...everything,
  mayDelete: { service: () => false, markRule: () => false, syncDaemon: () => false },
};

/** Without the order of what has none. */
function picture({ services, timeouts, settings, markRules, syncDaemons }: ActualBalancer): unknown {
  const rows = services.map(({ spec, destinations }) => ({
    spec,
    destinations: destinations.map(({ spec: each }) => each).sort((a, b) => name(a).localeCompare(name(b))),
  }));
  rows.sort((a, b) => formatServiceKey(a.spec.key).localeCompare(formatServiceKey(b.spec.key)));
  return { rows, timeouts, settings, markRules: markRules.map(formatMarkRule).sort(), syncDaemons };
}

function name({ address, port }: { readonly address: string; readonly port: number }): string {
  return formatEndpoint(address, port);
}

/** What the engine does not refuse: it has no link for daemons, one rule for the same packets, and orders thresholds. */
const wish: fc.Arbitrary<DesiredBalancer> = arbitraryBlueprint('yaml').map((blueprint) => {
  const rules = new Map(blueprint.markRules.map((rule) => [formatMarkRule({ ...rule, mark: 1 }), rule]));
  const desired = desiredBalancer(blueprint);
  const services = desired.services.map((service) => ({
    ...service,
    destinations: service.destinations.map((each) => ({
      ...each,
      lowerThreshold: Math.min(each.lowerThreshold, each.upperThreshold),
    })),
  }));
  return { ...desired, services, syncDaemons: [], markRules: [...rules.values()] };
});

async function make(plane: InProcessDataPlane, desired: DesiredBalancer): Promise<void> {
  const { steps } = planChanges(desired, await readActual(plane), everything);
  expect(await applyChanges(plane, steps)).toEqual({ type: 'applied' });
}

describe('a plan that is applied', () => {
  test('leaves nothing to do, whatever was there before', async () => {
    await fc.assert(
      fc.asyncProperty(wish, wish, async (before, after) => {
        const plane = table();
        await make(plane, before);
        await make(plane, after);
        expect(planChanges(after, await readActual(plane), everything).steps).toEqual([]);
        expect(await plane.execute<'listMarkRules'>({ name: 'listMarkRules' })).toMatchObject({
          rules: expect.objectContaining({ length: after.markRules.length }),
        });
      }),
      { numRuns: 60 },
    );
  });

  test('leaves all as it was when any of its steps is refused', async () => {
    await fc.assert(
      fc.asyncProperty(wish, wish, fc.nat(40), async (before, after, at) => {
        const plane = table();
        await make(plane, before);
        const earlier = await readActual(plane);
        const { steps } = planChanges(after, earlier, everything);
        fc.pre(steps.length > 0);
        const bad = at % steps.length;
        let count = 0;
        const refusing = {
          execute: (command: Command) => {
            if (count++ === bad) throw new IpvsError('ENOMEM', 'no more memory');
            return plane.execute(command);
          },
        };
        const outcome = await applyChanges(refusing as Pick<InProcessDataPlane, 'execute'>, steps);
        expect(outcome).toMatchObject({ type: 'refused', reason: 'no more memory', takenBack: bad, left: [] });
        expect(picture(await readActual(plane))).toEqual(picture(earlier));
      }),
      { numRuns: 60 },
    );
  });

  test('can be stopped between two steps, and then all is as before', async () => {
    const plane = table();
    const desired = { ...NOTHING, services: [wanted()] };
    let asked = 0;
    const { steps } = planChanges(desired, await readActual(plane), nothing);
    const outcome = await applyChanges(plane, steps, { interrupted: () => ++asked > 2 });
    expect(outcome).toMatchObject({ type: 'interrupted', takenBack: 2 });
    expect((await readActual(plane)).services).toEqual([]);
  });

  test('tells what could not be taken back', async () => {
    const plane = table();
    let count = 0;
    const failing = {
      execute: (command: Command) => {
        if (++count >= 2) throw new IpvsError('EIO', 'the daemon went away');
        return plane.execute(command);
      },
    };
    const { steps } = planChanges({ ...NOTHING, services: [wanted()] }, await readActual(plane), nothing);
    const outcome = await applyChanges(failing as Pick<InProcessDataPlane, 'execute'>, steps);
    expect(outcome).toMatchObject({ type: 'refused', left: [{ command: { name: 'deleteService' } }] });
  });
});

const NOTHING: DesiredBalancer = { services: [], timeouts: {}, settings: {}, markRules: [], syncDaemons: [] };
const FALLBACK = server('127.0.0.1', 80);

function wanted(more: Partial<WantedService> = {}): WantedService {
  return {
    spec: tcpService('192.0.2.1', 80),
    destinations: [server('10.0.0.1', 80, { weight: 3 }), server('10.0.0.2', 80)],
    checked: true,
    fallback: null,
    ...more,
  };
}

/** What somebody finds in the table. */
function found(destinations: readonly ReturnType<typeof server>[]): ActualBalancer {
  return {
    services: [{ spec: tcpService('192.0.2.1', 80), destinations: destinations.map((spec) => ({ spec })) }],
    timeouts: { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 },
    settings: {},
    markRules: [],
    syncDaemons: [],
  };
}

describe('whoever is out stays out', () => {
  const running: ChangePlanOptions = {
    ...nothing,
    outside: {
      atZero: ({ checked }) => (checked ? 'is down' : null),
      absent: ({ checked }) => (checked ? 'is down' : null),
      movesFallback: ({ checked }) => checked,
    },
  };

  test('with weight 0, while somebody checks', () => {
    const actual = found([server('10.0.0.1', 80, { weight: 0 }), server('10.0.0.2', 80)]);
    const plan = planChanges({ ...NOTHING, services: [wanted()] }, actual, running);
    expect(plan.steps).toEqual([]);
    expect(plan.held).toEqual([
      { service: tcpService('192.0.2.1', 80).key, server: { address: '10.0.0.1', port: 80 }, reason: 'is down' },
    ]);
  });

  test('out of the table, and the fallback in it', () => {
    const actual = found([FALLBACK]);
    const plan = planChanges({ ...NOTHING, services: [wanted({ fallback: FALLBACK })] }, actual, running);
    expect(plan.steps).toEqual([]);
    expect(plan.held.map(({ server: { address } }) => address)).toEqual(['10.0.0.1', '10.0.0.2', '127.0.0.1']);
  });

  test('but not in a service that nobody checks, or when nobody checks at all', () => {
    const actual = found([server('10.0.0.1', 80, { weight: 0 })]);
    const names = (service: WantedService, options: ChangePlanOptions): string[] =>
      planChanges({ ...NOTHING, services: [service] }, actual, options).steps.map(({ command }) => command.name);
    expect(names(wanted({ checked: false }), running)).toEqual(['editDestination', 'addDestination']);
    expect(names(wanted(), nothing)).toEqual(['editDestination', 'addDestination']);
  });

  test('other changes of a server that is out are made, and its weight stays 0', () => {
    const actual = found([server('10.0.0.1', 80, { weight: 0, method: 'direct' }), server('10.0.0.2', 80)]);
    const { steps } = planChanges({ ...NOTHING, services: [wanted()] }, actual, running);
    expect(steps.map(({ command }) => command)).toMatchObject([
      { name: 'editDestination', destination: { address: '10.0.0.1', method: 'masquerade', weight: 0 } },
    ]);
  });
});

describe('what a file does not name', () => {
  test('stays, unless it may be deleted', () => {
    const actual = found([]);
    expect(planChanges(NOTHING, actual, nothing).steps).toEqual([]);
    expect(planChanges(NOTHING, actual, everything).steps.map(({ command }) => command.name)).toEqual([
      'deleteService',
    ]);
  });

  test('timeouts and settings that are the same in another form are no change', () => {
    const actual = { ...found([]), settings: { sync_threshold: '3\t50', conntrack: '1' } };
    const same = { ...NOTHING, settings: { sync_threshold: '3 50', conntrack: '0x1' }, timeouts: { udpSeconds: 300 } };
    expect(planChanges(same, actual, nothing).steps).toEqual([]);
    const other = { ...NOTHING, settings: { conntrack: '0' }, timeouts: { udpSeconds: 30 } };
    expect(planChanges(other, actual, nothing).steps.map(({ command, inverse }) => [command, inverse])).toEqual([
      [
        { name: 'setTimeouts', timeouts: { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 30 } },
        [{ name: 'setTimeouts', timeouts: actual.timeouts }],
      ],
      [
        { name: 'setSetting', setting: 'conntrack', value: '0' },
        [{ name: 'setSetting', setting: 'conntrack', value: '1' }],
      ],
    ]);
  });

  test('a synchronisation daemon that is to be another is stopped and started', () => {
    const daemon = {
      role: 'master',
      interface: 'e0',
      syncId: 1,
      maxLength: 0,
      group: '224.0.0.81',
      port: 8848,
      ttl: 1,
    } as const;
    const actual = { ...found([]), syncDaemons: [{ ...daemon, maxLength: 1460 }] };
    expect(planChanges({ ...NOTHING, syncDaemons: [daemon] }, actual, nothing).steps).toEqual([]);
    const { steps } = planChanges({ ...NOTHING, syncDaemons: [{ ...daemon, syncId: 2 }] }, actual, nothing);
    expect(steps.map(({ command }) => command.name)).toEqual(['stopSyncDaemon', 'startSyncDaemon']);
  });
});
