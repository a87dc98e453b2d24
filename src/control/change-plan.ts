/**
 * The difference between what runs and what a file wants, as steps that each know how to be taken back. Pure: states
 * in, steps out. What is carried out, and what is only shown, is the caller's business.
 *
 * Who is out stays out: a server that a health check or an operator took out of the table is not put back because a
 * file names it.
 */
import type { Command, SyncDaemonSpec } from '../model/commands.ts';
import type { DestinationKey, DestinationSpec } from '../model/destination.ts';
import { formatMarkMatch, formatMarkRule, type MarkRule } from '../model/mark-rule.ts';
import { formatEndpoint, formatServiceKey, type ServiceKey, type ServiceSpec } from '../model/service.ts';
import {
  defaultSettings,
  readSetting,
  SETTING_NAMES,
  type SettingName,
  type Timeouts,
  writeSetting,
} from '../model/settings.ts';
import { type ActualService, type DesiredService, reconcile } from './reconcile.ts';

export interface WantedService extends DesiredService {
  /** Somebody may check its servers, and take them out and in again. */
  readonly checked: boolean;
  /** In the table only while whoever checks puts it there. */
  readonly fallback: DestinationSpec | null;
}

export interface DesiredBalancer {
  readonly services: readonly WantedService[];
  /** Absent ones stay as they are; so do settings. */
  readonly timeouts: Partial<Timeouts>;
  readonly settings: Partial<Readonly<Record<SettingName, string>>>;
  readonly markRules: readonly MarkRule[];
  readonly syncDaemons: readonly SyncDaemonSpec[];
}

export interface ActualBalancer {
  readonly services: readonly ActualService[];
  readonly timeouts: Timeouts;
  readonly settings: Partial<Readonly<Record<SettingName, string>>>;
  readonly markRules: readonly MarkRule[];
  readonly syncDaemons: readonly SyncDaemonSpec[];
}

export interface ChangePlanOptions {
  /** Whether something that nobody wants may go. */
  readonly mayDelete: {
    service(key: ServiceKey): boolean;
    markRule(rule: MarkRule): boolean;
    syncDaemon(daemon: SyncDaemonSpec): boolean;
  };
  readonly outside: Outside;
}

/** What others do to the table on purpose: an operator who drained, a program that checks servers. */
export interface Outside {
  /** Why a server with weight 0 is to stay so, or `null`. */
  atZero(service: WantedService, server: DestinationKey): string | null;
  /** Why a server that is not in the table is to stay away, or `null`. */
  absent(service: WantedService, server: DestinationKey): string | null;
  /** Somebody puts the fallback in and takes it out again. */
  movesFallback(service: WantedService): boolean;
}

export const NOBODY_OUTSIDE: Outside = { atZero: () => null, absent: () => null, movesFallback: () => false };

export interface ChangeStep {
  readonly command: Command;
  /** What takes it back, in order. */
  readonly inverse: readonly Command[];
  /** What was there before a change of it; for showing what differs. */
  readonly before?: ServiceSpec | DestinationSpec | string;
}

/** A server that is not as the file says, on purpose. */
export interface HeldServer {
  readonly service: ServiceKey;
  readonly server: DestinationKey;
  readonly reason: string;
}

export interface ChangePlan {
  readonly steps: readonly ChangeStep[];
  readonly held: readonly HeldServer[];
}

export function planChanges(desired: DesiredBalancer, actual: ActualBalancer, options: ChangePlanOptions): ChangePlan {
  const held: HeldServer[] = [];
  const services = desired.services.map((service) => respectWhoIsOut(service, actual, options, held));
  const steps = [
    ...settingSteps(desired, actual),
    ...serviceSteps(services, actual, options),
    ...markSteps(desired, actual, options),
    ...syncSteps(desired, actual, options),
  ];
  return { steps, held };
}

/** The service as it is to be now, with servers that are out left out. */
function respectWhoIsOut(
  service: WantedService,
  actual: ActualBalancer,
  { outside }: ChangePlanOptions,
  held: HeldServer[],
): DesiredService {
  const key = formatServiceKey(service.spec.key);
  const there = actual.services.find(({ spec }) => formatServiceKey(spec.key) === key);
  if (there === undefined) return service;
  const present = new Map(there.destinations.map(({ spec }) => [endpointOf(spec), spec]));
  const hold = (server: DestinationKey, reason: string): void => {
    held.push({ service: service.spec.key, server: { address: server.address, port: server.port }, reason });
  };
  const destinations = service.destinations.flatMap((wanted): DestinationSpec[] => {
    const now = present.get(endpointOf(wanted));
    // Of a service that has no server at all nobody was taken out: it was never filled.
    if (now === undefined && present.size === 0) return [wanted];
    const isOut = now === undefined || (now.weight === 0 && wanted.weight > 0);
    const whyOut = now === undefined ? outside.absent : outside.atZero;
    const reason = isOut ? whyOut(service, wanted) : null;
    if (reason === null) return [wanted];
    hold(wanted, reason);
    if (now === undefined) return [];
    const { weight, upperThreshold, lowerThreshold } = now;
    return [{ ...wanted, weight, upperThreshold, lowerThreshold }];
  });
  const { fallback } = service;
  const standsIn = fallback === null ? undefined : present.get(endpointOf(fallback));
  const isServer = destinations.some((each) => standsIn !== undefined && endpointOf(each) === endpointOf(standsIn));
  if (standsIn !== undefined && !isServer && outside.movesFallback(service)) {
    hold(standsIn, 'the fallback stands in while no server is up');
    destinations.push(standsIn);
  }
  return { spec: service.spec, destinations };
}

function serviceSteps(
  services: readonly DesiredService[],
  actual: ActualBalancer,
  { mayDelete }: ChangePlanOptions,
): ChangeStep[] {
  const commands = reconcile(services, actual.services, { mayDelete: (key) => mayDelete.service(key) });
  const table = new Map(actual.services.map((service) => [formatServiceKey(service.spec.key), service]));
  const destination = (service: ServiceKey, key: DestinationKey): DestinationSpec | undefined =>
    table.get(formatServiceKey(service))?.destinations.find(({ spec }) => endpointOf(spec) === endpointOf(key))?.spec;
  return commands.map((command): ChangeStep => {
    switch (command.name) {
      case 'addService':
        return { command, inverse: [{ name: 'deleteService', key: command.service.key }] };
      case 'editService': {
        const before = table.get(formatServiceKey(command.service.key))!.spec;
        const service = { ...before, sourceNat: before.sourceNat ?? 'none' };
        return { command, inverse: [{ name: 'editService', service }], before };
      }
      case 'deleteService': {
        const before = table.get(formatServiceKey(command.key))!;
        // Listings have the newest first.
        const servers = [...before.destinations].reverse();
        return {
          command,
          inverse: [
            { name: 'addService', service: before.spec },
            ...servers.map(({ spec }): Command => addition(command.key, spec)),
          ],
          before: before.spec,
        };
      }
      case 'addDestination':
        return { command, inverse: [deletion(command.service, command.destination)] };
      case 'editDestination': {
        const before = destination(command.service, command.destination)!;
        const inverse: Command = { name: 'editDestination', service: command.service, destination: before };
        return { command, inverse: [inverse], before };
      }
      case 'deleteDestination': {
        const before = destination(command.service, command.destination)!;
        return { command, inverse: [addition(command.service, before)], before };
      }
      default:
        return { command, inverse: [] };
    }
  });
}

function settingSteps({ timeouts, settings }: DesiredBalancer, actual: ActualBalancer): ChangeStep[] {
  const steps: ChangeStep[] = [];
  const wanted: Timeouts = { ...actual.timeouts, ...timeouts };
  if (JSON.stringify(wanted) !== JSON.stringify({ ...actual.timeouts })) {
    const before = `${actual.timeouts.tcpSeconds} ${actual.timeouts.tcpFinSeconds} ${actual.timeouts.udpSeconds}`;
    const inverse: Command = { name: 'setTimeouts', timeouts: actual.timeouts };
    steps.push({ command: { name: 'setTimeouts', timeouts: wanted }, inverse: [inverse], before });
  }
  for (const setting of SETTING_NAMES) {
    const value = settings[setting];
    const before = actual.settings[setting];
    if (value === undefined || (before !== undefined && sameSetting(setting, value, before))) continue;
    const inverse: Command[] = before === undefined ? [] : [{ name: 'setSetting', setting, value: before }];
    steps.push({
      command: { name: 'setSetting', setting, value },
      inverse,
      ...(before === undefined ? {} : { before }),
    });
  }
  return steps;
}

/** The automatic defences go by themselves from 1 to 2 and back, as memory gets short. */
const DEFENCES: readonly SettingName[] = ['drop_entry', 'drop_packet', 'secure_tcp'];

/** `3 50` and `3<tab>50` are the same. */
function sameSetting(name: SettingName, left: string, right: string): boolean {
  const canonical = (text: string): string => {
    const settings = defaultSettings();
    writeSetting(settings, name, text);
    const value = readSetting(settings, name);
    return DEFENCES.includes(name) && value === '2' ? '1' : value;
  };
  return canonical(left) === canonical(right);
}

/** Rules are asked in their order, and new ones come last: what stands before them in the daemon stays there. */
function markSteps(desired: DesiredBalancer, actual: ActualBalancer, { mayDelete }: ChangePlanOptions): ChangeStep[] {
  const wanted = new Set(desired.markRules.map(formatMarkRule));
  const matches = new Set(desired.markRules.map(formatMarkMatch));
  const present = new Set(actual.markRules.map(formatMarkRule));
  const deletions = actual.markRules.filter((rule) => {
    if (wanted.has(formatMarkRule(rule))) return false;
    return matches.has(formatMarkMatch(rule)) || mayDelete.markRule(rule);
  });
  const additions = desired.markRules.filter((rule) => !present.has(formatMarkRule(rule)));
  return [
    ...deletions.map(
      (rule): ChangeStep => ({
        command: { name: 'deleteMarkRule', rule },
        inverse: [{ name: 'addMarkRule', rule }],
      }),
    ),
    ...additions.map(
      (rule): ChangeStep => ({
        command: { name: 'addMarkRule', rule },
        inverse: [{ name: 'deleteMarkRule', rule }],
      }),
    ),
  ];
}

function syncSteps(desired: DesiredBalancer, actual: ActualBalancer, { mayDelete }: ChangePlanOptions): ChangeStep[] {
  const steps: ChangeStep[] = [];
  const start = (daemon: SyncDaemonSpec): Command => ({ name: 'startSyncDaemon', daemon });
  const stop = ({ role }: SyncDaemonSpec): Command => ({ name: 'stopSyncDaemon', role });
  for (const running of actual.syncDaemons) {
    const wanted = desired.syncDaemons.find(({ role }) => role === running.role);
    const goes = wanted === undefined ? mayDelete.syncDaemon(running) : !sameDaemon(wanted, running);
    if (goes) steps.push({ command: stop(running), inverse: [start(running)] });
  }
  for (const wanted of desired.syncDaemons) {
    if (actual.syncDaemons.some((running) => sameDaemon(wanted, running))) continue;
    steps.push({ command: start(wanted), inverse: [stop(wanted)] });
  }
  return steps;
}

/** A length of 0 is one that the data plane chooses, and then tells. */
function sameDaemon(wanted: SyncDaemonSpec, running: SyncDaemonSpec): boolean {
  return (
    wanted.role === running.role &&
    wanted.interface === running.interface &&
    wanted.syncId === running.syncId &&
    (wanted.maxLength === 0 || wanted.maxLength === running.maxLength) &&
    wanted.group === running.group &&
    wanted.port === running.port &&
    wanted.ttl === running.ttl
  );
}

function addition(service: ServiceKey, destination: DestinationSpec): Command {
  return { name: 'addDestination', service, destination };
}

function deletion(service: ServiceKey, { address, port }: DestinationKey): Command {
  return { name: 'deleteDestination', service, destination: { address, port } };
}

function endpointOf({ address, port }: DestinationKey): string {
  return formatEndpoint(address, port);
}
