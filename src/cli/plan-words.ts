/** A step of a plan for people: a sign, the command as ipvsadm has it, and what it means. */
import type { ChangeStep } from '../control/change-plan.ts';
import { commandWords } from '../ipvsadm/command-words.ts';
import type { DestinationSpec } from '../model/destination.ts';
import { formatMarkRule } from '../model/mark-rule.ts';
import { formatEndpoint, formatServiceKey, type ServiceSpec } from '../model/service.ts';

/** `+` something new, `~` something else than before, `-` something that goes. */
export type StepSign = '+' | '~' | '-';

export interface StepWords {
  readonly sign: StepSign;
  /** What could be typed instead; `null` when ipvsadm and sysctl have no words for it. */
  readonly command: string | null;
  readonly meaning: string;
}

export function stepWords({ command, before }: ChangeStep): StepWords {
  const typed = commandWords(command);
  const words = (sign: StepSign, meaning: string): StepWords => {
    return { sign, command: typed === null ? null : `ipvsadm ${typed.join(' ')}`, meaning };
  };
  switch (command.name) {
    case 'addService':
      return words('+', `a new service ${formatServiceKey(command.service.key)}${natOf(command.service)}`);
    case 'editService':
      return words(
        '~',
        `${formatServiceKey(command.service.key)}: ${serviceChange(before as ServiceSpec, command.service)}`,
      );
    case 'deleteService':
      return words('-', `the service ${formatServiceKey(command.key)} with its servers`);
    case 'addDestination':
      return words('+', `a new server ${named(command.destination)} of ${formatServiceKey(command.service)}`);
    case 'editDestination': {
      const what = destinationChange(before as DestinationSpec, command.destination);
      return words('~', `${named(command.destination)} of ${formatServiceKey(command.service)}: ${what}`);
    }
    case 'deleteDestination':
      return words('-', `the server ${named(command.destination)} of ${formatServiceKey(command.service)}`);
    case 'setTimeouts':
      return words('~', `timeouts of tcp, tcpfin and udp, in seconds; before: ${before}`);
    case 'setSetting': {
      const { setting, value } = command;
      const sysctl = `sysctl -w net.ipv4.vs.${setting}=${JSON.stringify(value).slice(1, -1)}`;
      return { sign: '~', command: sysctl, meaning: `${setting}: ${before ?? 'unknown'} -> ${value}` };
    }
    case 'addMarkRule':
      return words('+', `packets get a ${formatMarkRule(command.rule)}`);
    case 'deleteMarkRule':
      return words('-', `packets get no more ${formatMarkRule(command.rule)}`);
    case 'startSyncDaemon':
      return words('+', `synchronisation as ${command.daemon.role} on ${command.daemon.interface}`);
    case 'stopSyncDaemon':
      return words('-', `synchronisation as ${command.role}`);
    default:
      return words('~', command.name);
  }
}

function named({ address, port }: { readonly address: string; readonly port: number }): string {
  return formatEndpoint(address, port);
}

function natOf({ sourceNat }: ServiceSpec): string {
  return sourceNat === undefined || sourceNat === 'none' ? '' : `, source NAT ${sourceNat} (ipvsadm cannot say that)`;
}

function serviceChange(before: ServiceSpec, after: ServiceSpec): string {
  const changes: string[] = [];
  const compare = (name: string, was: unknown, is: unknown): void => {
    if (was !== is) changes.push(`${name} ${was} -> ${is}`);
  };
  compare('scheduler', before.scheduler, after.scheduler);
  compare('flags', list(before.schedulerFlags), list(after.schedulerFlags));
  compare('persistence', seconds(before.persistenceTimeoutSeconds), seconds(after.persistenceTimeoutSeconds));
  compare('netmask', before.netmask, after.netmask);
  compare('persistence engine', before.persistenceEngine ?? 'none', after.persistenceEngine ?? 'none');
  compare('one-packet scheduling', before.onePacket, after.onePacket);
  const nat = before.sourceNat ?? 'none';
  compare('source NAT', nat, after.sourceNat ?? nat);
  return changes.join(', ');
}

function destinationChange(before: DestinationSpec, after: DestinationSpec): string {
  const changes: string[] = [];
  for (const name of ['method', 'weight', 'upperThreshold', 'lowerThreshold'] as const) {
    if (before[name] !== after[name]) {
      const plain = name.replace('Threshold', ' threshold');
      changes.push(`${plain} ${before[name]} -> ${after[name]}`);
    }
  }
  const tunnel = ({ tunnel: { type, port, checksum } }: DestinationSpec): string => `${type}:${port}:${checksum}`;
  if (after.method === 'tunnel' && tunnel(before) !== tunnel(after)) {
    changes.push(`tunnel ${tunnel(before)} -> ${tunnel(after)}`);
  }
  return changes.join(', ');
}

function list(numbers: readonly number[]): string {
  return numbers.length === 0 ? 'none' : [...numbers].sort().join(',');
}

function seconds(value: number | null): string {
  return value === null ? 'none' : `${value} s`;
}
