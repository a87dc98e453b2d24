/**
 * The services, destinations, rules and daemons that were accepted, kept to tell a restarted worker of them and to know which
 * guard entries a deletion frees. Questions are never answered from here: the data plane owns the truth.
 */
import type { Command, SyncDaemonSpec, SyncRole } from '../model/commands.ts';
import type { DestinationKey, DestinationSpec } from '../model/destination.ts';
import { checkMarkRule, formatMarkRule, type MarkRule } from '../model/mark-rule.ts';
import { formatEndpoint, formatServiceKey, type ServiceSpec } from '../model/service.ts';
import type { SettingName, Timeouts } from '../model/settings.ts';
import { destinationEntries, type GuardEntry, markRuleEntries, serviceEntries } from './guard-entries.ts';

interface AcceptedService {
  spec: ServiceSpec;
  readonly destinations: Map<string, DestinationSpec>;
}

/** The guard entries a command needs in force before it is carried out. */
export function entriesNeededBy(command: Command): readonly GuardEntry[] {
  if (command.name === 'addService') return serviceEntries(command.service.key);
  if (command.name === 'addDestination' || command.name === 'editDestination') {
    return destinationEntries(command.service, command.destination);
  }
  return command.name === 'addMarkRule' ? markRuleEntries(command.rule) : [];
}

export class AcceptedSpecs {
  readonly #services = new Map<string, AcceptedService>();
  readonly #settings = new Map<SettingName, string>();
  readonly #markRules = new Map<string, MarkRule>();
  readonly #syncDaemons = new Map<SyncRole, SyncDaemonSpec>();
  #timeouts: Timeouts = { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 };

  /** Takes note of a command that was carried out. Returns the guard entries it no longer needs. */
  note(command: Command): readonly GuardEntry[] {
    switch (command.name) {
      case 'addService':
        this.#services.set(formatServiceKey(command.service.key), { spec: command.service, destinations: new Map() });
        return [];
      case 'editService':
        this.#edit(command.service);
        return [];
      case 'deleteService':
        return this.#delete(formatServiceKey(command.key));
      case 'flush':
        return [...this.#services.keys()].flatMap((key) => this.#delete(key));
      case 'addDestination':
      case 'editDestination': {
        const service = this.#services.get(formatServiceKey(command.service));
        const key = destinationText(command.destination);
        const before = service?.destinations.get(key);
        service?.destinations.set(key, command.destination);
        return before === undefined ? [] : destinationEntries(command.service, before);
      }
      case 'deleteDestination': {
        const service = this.#services.get(formatServiceKey(command.service));
        const key = destinationText(command.destination);
        const before = service?.destinations.get(key);
        service?.destinations.delete(key);
        return before === undefined ? [] : destinationEntries(command.service, before);
      }
      case 'setTimeouts':
        this.#timeouts = merge(this.#timeouts, command.timeouts);
        return [];
      case 'setSetting':
        this.#settings.set(command.setting, command.value);
        return [];
      case 'addMarkRule':
        this.#markRules.set(formatMarkRule(checkMarkRule(command.rule).rule), command.rule);
        return [];
      case 'deleteMarkRule':
        this.#markRules.delete(formatMarkRule(checkMarkRule(command.rule).rule));
        return markRuleEntries(command.rule);
      case 'startSyncDaemon':
        this.#syncDaemons.set(command.daemon.role, command.daemon);
        return [];
      case 'stopSyncDaemon':
        this.#syncDaemons.delete(command.role);
        return [];
      default:
        return [];
    }
  }

  /** The commands that bring an empty data plane to this state, in the order things were added. */
  commands(): Command[] {
    const commands: Command[] = [];
    for (const [setting, value] of this.#settings) commands.push({ name: 'setSetting', setting, value });
    for (const { spec, destinations } of this.#services.values()) {
      commands.push({ name: 'addService', service: spec });
      for (const destination of destinations.values()) {
        commands.push({ name: 'addDestination', service: spec.key, destination });
      }
    }
    if (Object.values(this.#timeouts).some((seconds) => seconds !== 0)) {
      commands.push({ name: 'setTimeouts', timeouts: this.#timeouts });
    }
    for (const rule of this.#markRules.values()) commands.push({ name: 'addMarkRule', rule });
    for (const daemon of this.#syncDaemons.values()) commands.push({ name: 'startSyncDaemon', daemon });
    return commands;
  }

  #edit(spec: ServiceSpec): void {
    const service = this.#services.get(formatServiceKey(spec.key));
    if (service === undefined) return;
    // An edit without source NAT leaves it as it was.
    const sourceNat = spec.sourceNat ?? service.spec.sourceNat;
    service.spec = sourceNat === undefined ? spec : { ...spec, sourceNat };
  }

  #delete(key: string): readonly GuardEntry[] {
    const service = this.#services.get(key);
    if (service === undefined) return [];
    this.#services.delete(key);
    const { spec, destinations } = service;
    return [
      ...serviceEntries(spec.key),
      ...[...destinations.values()].flatMap((destination) => destinationEntries(spec.key, destination)),
    ];
  }
}

function destinationText(destination: DestinationKey): string {
  return formatEndpoint(destination.address, destination.port);
}

/** 0 leaves a value alone. */
function merge(before: Timeouts, change: Timeouts): Timeouts {
  return {
    tcpSeconds: change.tcpSeconds || before.tcpSeconds,
    tcpFinSeconds: change.tcpFinSeconds || before.tcpFinSeconds,
    udpSeconds: change.udpSeconds || before.udpSeconds,
  };
}
