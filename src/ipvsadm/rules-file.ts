/**
 * A file for `ipvsadm -R` (what `-S` writes, `/etc/ipvsadm.rules`) as a blueprint, and a blueprint as such a file.
 * It is read by playing its lines on an empty table; what is wrong with a line is said in ipvsadm's own words.
 */
import {
  type Blueprint,
  EMPTY_BLUEPRINT,
  NO_CHECK,
  placeOf,
  type ReadFile,
  type ServerWish,
  type ServiceWish,
  type WrittenFile,
} from '../model/blueprint.ts';
import type { Command, SyncDaemonSpec } from '../model/commands.ts';
import type { DestinationSpec } from '../model/destination.ts';
import { type FileProblem, FileRefused, type Place } from '../model/file-problem.ts';
import { familyOfService, formatEndpoint, formatServiceKey, isMarkKey, type ServiceSpec } from '../model/service.ts';
import type { Timeouts } from '../model/settings.ts';
import { parseArguments } from './arguments.ts';
import { destinationWords, serviceWords, settingWords, syncDaemonWords, thresholdWords } from './command-words.ts';
import type { NameService } from './io.ts';
import { UsageError } from './usage-error.ts';

/** Rejects with FileRefused: every line that cannot be understood, or that ipvsadm would refuse on an empty table. */
export async function readRulesFile(text: string, names: NameService): Promise<ReadFile> {
  const table = new PlayedTable();
  const problems: FileProblem[] = [];
  const warnings: FileProblem[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const place = { line: index + 1, column: line.search(/[^ \t\r]/) + 1 };
    const words = line.split(/[ \t\r]+/).filter((word) => word !== '' && word !== 'ipvsadm');
    if (words.length === 0) continue;
    if (words[0]!.startsWith('#')) {
      warnings.push({
        place,
        text: '`ipvsadm -R` has no comments and stops here; take the line out before it reads the file',
      });
      continue;
    }
    try {
      const request = await parseArguments(words, { programName: 'ipvsadm', names }, true);
      if (request.kind === 'change') table.play(request.command, place);
      else warnings.push({ place, text: `a line that changes nothing: ${words.join(' ')}` });
    } catch (error) {
      if (error instanceof UsageError) problems.push({ place, text: explain(error, words[0]!) });
      else if (error instanceof Refused) problems.push({ place, text: error.message });
      else throw error;
    }
  }
  if (problems.length > 0) throw new FileRefused(problems);
  return { blueprint: table.blueprint(), warnings, lost: [] };
}

function explain({ kind, message }: UsageError, word: string): string {
  if (kind === 'first-word') return `"${word}" is no command of ipvsadm; lines begin with -A or -a`;
  return message.trim().split('\n')[0] ?? message;
}

/** What the kernel would refuse. */
class Refused extends Error {}

interface PlayedService {
  readonly place: Place;
  spec: ServiceSpec;
  readonly destinations: Map<string, { readonly place: Place; readonly spec: DestinationSpec }>;
}

class PlayedTable {
  readonly #services = new Map<string, PlayedService>();
  readonly #syncDaemons = new Map<string, SyncDaemonSpec>();
  #timeouts: Partial<Timeouts> = {};
  readonly #places: Record<string, Place> = {};

  play(command: Command, place: Place): void {
    switch (command.name) {
      case 'addService': {
        const key = formatServiceKey(command.service.key);
        if (this.#services.has(key)) throw new Refused(`${key}: the service is there already`);
        this.#services.set(key, { place, spec: command.service, destinations: new Map() });
        return;
      }
      case 'editService':
        this.#find(formatServiceKey(command.service.key)).spec = command.service;
        return;
      case 'deleteService':
        this.#find(formatServiceKey(command.key));
        this.#services.delete(formatServiceKey(command.key));
        return;
      case 'flush':
        this.#services.clear();
        return;
      case 'addDestination':
      case 'editDestination': {
        const { destinations } = this.#find(formatServiceKey(command.service));
        const key = formatEndpoint(command.destination.address, command.destination.port);
        if (destinations.has(key) !== (command.name === 'editDestination')) {
          throw new Refused(`${key}: the server is ${destinations.has(key) ? 'there already' : 'not there'}`);
        }
        destinations.set(key, { place, spec: command.destination });
        return;
      }
      case 'deleteDestination': {
        const { address, port } = command.destination;
        const key = formatEndpoint(address, port);
        if (!this.#find(formatServiceKey(command.service)).destinations.delete(key)) {
          throw new Refused(`${key}: the server is not there`);
        }
        return;
      }
      case 'setTimeouts':
        this.#places['timeouts'] = place;
        for (const [name, value] of Object.entries(command.timeouts)) {
          if (value > 0) this.#timeouts = { ...this.#timeouts, [name]: value };
        }
        return;
      case 'startSyncDaemon':
        this.#places['syncDaemons'] = place;
        this.#syncDaemons.set(command.daemon.role, command.daemon);
        return;
      case 'stopSyncDaemon':
        this.#syncDaemons.delete(command.role);
        return;
      default:
    }
  }

  blueprint(): Blueprint {
    return {
      ...EMPTY_BLUEPRINT,
      places: this.#places,
      services: [...this.#services.values()].map(asWish),
      timeouts: this.#timeouts,
      syncDaemons: [...this.#syncDaemons.values()],
    };
  }

  #find(key: string): PlayedService {
    const service = this.#services.get(key);
    if (service === undefined) throw new Refused(`${key}: there is no such service above`);
    return service;
  }
}

function asWish({ place, spec, destinations }: PlayedService): ServiceWish {
  const { key, scheduler, schedulerFlags, persistenceTimeoutSeconds, netmask, persistenceEngine, onePacket } = spec;
  const whole = familyOfService(key) === 'ipv6' ? '128' : '255.255.255.255';
  return {
    place,
    places: {},
    key,
    name: null,
    comment: null,
    scheduler,
    schedulerFlags,
    persistence:
      persistenceTimeoutSeconds === null
        ? null
        : {
            timeoutSeconds: persistenceTimeoutSeconds,
            netmask: netmask === whole ? null : netmask,
            engine: persistenceEngine,
          },
    onePacket,
    sourceNat: null,
    servers: [...destinations.values()].map(
      ({ place: at, spec: server }): ServerWish => ({ ...server, place: at, request: null, receive: null }),
    ),
    fallback: null,
    check: NO_CHECK,
    watching: {},
    monitorFile: null,
  };
}

export function writeRulesFile(blueprint: Blueprint): WrittenFile {
  const lines: string[] = [];
  const lost: FileProblem[] = [];
  const { timeouts, syncDaemons, services } = blueprint;
  const { tcpSeconds = 0, tcpFinSeconds = 0, udpSeconds = 0 } = timeouts;
  if (tcpSeconds + tcpFinSeconds + udpSeconds > 0) lines.push(`--set ${tcpSeconds} ${tcpFinSeconds} ${udpSeconds}`);
  for (const service of services) {
    const spec = specOf(service);
    const words = serviceWords(service.key);
    lines.push(['-A', ...words, ...settingWords(spec)].join(' '));
    for (const server of service.servers) {
      const destination = inTable(service, server);
      lines.push(['-a', ...words, ...destinationWords(destination), ...thresholdWords(destination)].join(' '));
      if (server.method === 'local' || server.method === 'bypass') {
        lost.push({ place: server.place, text: `${server.address}: the method ${server.method} becomes direct` });
      }
      if (server.request !== null) lost.push({ place: server.place, text: `${server.address}: a request of its own` });
    }
    lost.push(...lostOf(service));
  }
  for (const daemon of syncDaemons) lines.push(syncDaemonWords(daemon).join(' '));
  lost.push(...lostOfWhole(blueprint));
  return { text: lines.map((line) => `${line}\n`).join(''), lost };
}

/** The port in the table is what ipvsadm would make of it. */
function inTable({ key }: ServiceWish, server: ServerWish): DestinationSpec {
  const keeps = isMarkKey(key) || server.method === 'masquerade';
  return { ...server, port: keeps ? server.port : key.port };
}

/** The third flag has no name for the schedulers that hash. */
function lacksName({ scheduler, schedulerFlags }: ServiceWish): boolean {
  return (scheduler === 'sh' || scheduler === 'mh') && schedulerFlags.includes(3);
}

function specOf(service: ServiceWish): ServiceSpec {
  const { key, scheduler, schedulerFlags, persistence, onePacket } = service;
  return {
    key,
    scheduler,
    schedulerFlags: lacksName(service) ? schedulerFlags.filter((flag) => flag !== 3) : schedulerFlags,
    persistenceTimeoutSeconds: persistence?.timeoutSeconds ?? null,
    netmask: persistence?.netmask ?? (familyOfService(key) === 'ipv6' ? '128' : '255.255.255.255'),
    persistenceEngine: persistence?.engine ?? null,
    onePacket,
  };
}

function lostOf(service: ServiceWish): FileProblem[] {
  const { check, fallback, sourceNat, watching } = service;
  const name = formatServiceKey(service.key);
  const lost: FileProblem[] = [];
  const lose = (part: string, text: string) => lost.push({ place: placeOf(service, part), text: `${name}: ${text}` });
  if (lacksName(service)) lose('flags', `flag 3 of ${service.scheduler}`);
  if (check.kind !== 'always-up') {
    const kind = check.kind === 'negotiate' ? (check.application ?? 'negotiate') : check.kind;
    lose('check', `health check ${kind}: ipvsadm checks nobody`);
  }
  if (fallback !== null) lose('fallback', `fallback ${fallback.address}: ipvsadm has none`);
  if (sourceNat !== null && sourceNat !== 'none') lose('sourceNat', `source NAT ${sourceNat}`);
  if (Object.keys(watching).length > 0 || service.monitorFile !== null) {
    lose('watching', 'what is to happen when servers go and come');
  }
  if (service.name !== null || service.comment !== null) lose('name', 'name and comment');
  return lost;
}

function lostOfWhole({ watching, fallbacks, director, settings, markRules, places }: Blueprint) {
  const lost: FileProblem[] = [];
  const lose = (part: string, text: string) => lost.push({ place: places[part] ?? { line: 0, column: 0 }, text });
  if (Object.keys(watching).length > 0) lose('watching', 'how servers are watched');
  for (const fallback of [fallbacks.ipv4, fallbacks.ipv6]) {
    if (fallback !== null) lost.push({ place: fallback.place, text: `fallback ${fallback.address} of all services` });
  }
  if (Object.keys(director).length > 1 || director.execute.length > 0) lose('director', 'settings of the director');
  if (Object.keys(settings).length > 0) lose('settings', 'settings of net.ipv4.vs; sysctl sets them');
  if (markRules.length > 0) lose('markRules', 'rules that give packets marks');
  return lost;
}
