/** The seven steps of the pipeline, told as a story from the facts of one packet. */
import type { Endpoint } from '../model/connection-status.ts';
import type { PacketTrace, TracedCandidate, TracedConnection } from '../model/packet-trace.ts';
import { formatEndpoint, formatServiceKey } from '../model/service.ts';
import { formatFrame } from '../wire/print.ts';
import { bytesOfHex } from './hex.ts';
import { protocolName } from './layers.ts';

export interface ToldStep {
  /** 1 to 7. */
  readonly number: number;
  /** Name as in the engine's pipeline. */
  readonly name: string;
  /** `done`: it had something to do; `skipped`: nothing; `end`: it decided; `unreached`: another decided before. */
  readonly outcome: 'done' | 'skipped' | 'end' | 'unreached';
  readonly sentences: readonly string[];
}

const STEP_NAMES = [
  'recognise',
  'neighbours',
  'ICMP errors',
  'find the connection',
  'admit',
  'state and timer',
  'forward',
];

/** Reasons that decide in the first step. */
const READING_REASONS: readonly string[] = [
  'not-ip',
  'other-host',
  'own-frame',
  'fragment',
  'fragment-overlap',
  'fragments-full',
  'truncated',
  'ip-checksum',
  'protocol',
  'sync',
  'source-routed',
];
const ADMISSION_REASONS: readonly string[] = [
  'no-service',
  'no-connection',
  'client-port-20',
  'no-destination',
  'table-full',
  'ports-used-up',
  'no-source-address',
  'no-engine-data',
  'defence',
];
const LOOKUP_REASONS: readonly string[] = ['stray-reply', 'backup-only', 'tracked-connection', 'destination-gone'];

export function tellSteps(trace: PacketTrace): ToldStep[] {
  const isArp = trace.frame.slice(24, 28) === '0806';
  const isNeighborTalk =
    isArp ||
    (trace.family === 'ipv6' && trace.protocol === 58 && trace.connection === null && trace.verdict === 'consume');
  const end = endOf(trace, isNeighborTalk);
  const tell = [
    recognise(trace),
    neighbors(trace, isNeighborTalk),
    errors(trace),
    lookup(trace),
    admission(trace),
    transition(trace),
    forwarding(trace),
  ];
  return tell.map((sentences, index): ToldStep => {
    const number = index + 1;
    const name = STEP_NAMES[index] as string;
    if (number > end) return { number, name, outcome: 'unreached', sentences: [] };
    if (number === end) return { number, name, outcome: 'end', sentences };
    return { number, name, outcome: isBusy(number, trace) ? 'done' : 'skipped', sentences };
  });
}

/** The step that decided. */
function endOf(trace: PacketTrace, isNeighborTalk: boolean): number {
  if (READING_REASONS.includes(trace.reason) || trace.family === null) return isNeighborTalk ? 2 : 1;
  if (isNeighborTalk) return 2;
  if (trace.reason === 'icmp' || trace.reason === 'icmp-checksum') return 3;
  if (isIcmp(trace) && trace.connection === null) return 3;
  if (LOOKUP_REASONS.includes(trace.reason)) return 4;
  if (ADMISSION_REASONS.includes(trace.reason)) return 5;
  return 7;
}

function isBusy(number: number, trace: PacketTrace): boolean {
  switch (number) {
    case 1:
    case 4:
      return true;
    case 3:
      return isIcmp(trace);
    case 5:
      return (
        trace.service !== null && (trace.choice !== null || trace.template !== null || trace.connection?.isNew === true)
      );
    case 6:
      return trace.connection !== null && !trace.connection.isError;
    default:
      return false;
  }
}

function isIcmp({ family, protocol }: PacketTrace): boolean {
  return (family === 'ipv4' && protocol === 1) || (family === 'ipv6' && protocol === 58);
}

function recognise(trace: PacketTrace): string[] {
  const sentences = [`It came in by ${trace.link}: ${formatFrame(bytesOfHex(trace.frame))}.`];
  if (trace.segmentBytes > 0) {
    sentences.push(`It is a super-frame: the kernel handed over many segments of ${trace.segmentBytes} bytes as one.`);
  }
  if (trace.partialChecksum) sentences.push('Its checksum is unfinished: the card it leaves by has to finish it.');
  if (trace.mark !== 0) {
    sentences.push(`It carries the firewall mark ${trace.mark}${trace.markedByRule ? ', given by a mark rule' : ''}.`);
  }
  return [...sentences, ...trace.remarks.filter((remark) => remark.startsWith('put together')).map(asSentence)];
}

function neighbors(trace: PacketTrace, isNeighborTalk: boolean): string[] {
  if (!isNeighborTalk) return ['It is no question about a MAC, so there is nothing to answer or to learn.'];
  if (trace.outputs.length > 0)
    return ['It asks for the MAC of an address that is ours to answer for: the answer is sent.'];
  return ['It is about MACs: what it says is learned where somebody waits for it, and nothing is answered.'];
}

function errors(trace: PacketTrace): string[] {
  if (!isIcmp(trace)) return ['It is no ICMP message.'];
  const { connection } = trace;
  if (connection !== null) {
    const side = connection.direction === 'outbound' ? 'the server’s side' : 'the client’s side';
    return [
      `It is an ICMP error from ${side} that quotes a packet of the connection ${nameOf(connection)}: it goes to who sent that.`,
    ];
  }
  if (trace.verdict === 'consume') return ['It is an ICMP error about a tunnel packet of ours: the client is told.'];
  return ['It is an ICMP message that is no error about a connection of ours.'];
}

function lookup(trace: PacketTrace): string[] {
  const { connection } = trace;
  const others = trace.remarks.filter((remark) => !remark.startsWith('put together')).map(asSentence);
  if (connection === null || connection.isNew) {
    const where = trace.toServiceAddress
      ? 'The destination is the address of a service'
      : 'The destination is no address of a service';
    return [`${where}; no connection of these two ends is in the table.`, ...others];
  }
  const direction =
    connection.direction === 'inbound'
      ? `from its client to ${formatService(trace)}`
      : 'back from its server to the client';
  return [
    `It belongs to the connection ${nameOf(connection)} (${direction}), in state ${connection.stateBefore} with ${connection.secondsBefore} s left.`,
    ...others,
  ];
}

function admission(trace: PacketTrace): string[] {
  const { service, connection, template, choice } = trace;
  if (connection !== null && !connection.isNew) return ['Nobody is asked: the connection has its server.'];
  if (service === null) return [`Nothing admits it: ${trace.why || 'no service covers it'}.`];
  const sentences = [`The service ${formatServiceKey(service.key)} covers it (${MATCHES[service.matchedBy]}).`];
  if (template !== null) sentences.push(templateSentence(template, service.persistenceTimeoutSeconds));
  if (choice !== null) {
    sentences.push(`Its scheduler ${choice.scheduler} chooses: ${choice.rule}.`);
    sentences.push(...choice.steps.map(asSentence));
    sentences.push(...candidateSentences(choice.candidates));
    sentences.push(choice.chosen === null ? 'Nobody can take it.' : `Chosen: ${endpoint(choice.chosen)}.`);
  }
  if (connection?.after.local !== undefined) {
    sentences.push(
      `Full NAT: the server will see ${endpoint(connection.after.local)} as its client, so its answer comes back here.`,
    );
  }
  return sentences;
}

const MATCHES: Readonly<Record<string, string>> = {
  mark: 'by its firewall mark',
  'address and port': 'protocol, address and port are its own',
  'address, any port': 'protocol and address are its own, and it takes every port',
  'ftp data': 'its address has an FTP service, and the port may be that of FTP data',
};

function templateSentence(template: NonNullable<PacketTrace['template']>, timeoutSeconds: number | null): string {
  const who = `clients of ${template.client}`;
  const server = template.server.port === 0 ? template.server.address : endpoint(template.server);
  if (template.how === 'found')
    return `A template ties ${who} to ${server}, so no scheduler is asked (persistence of ${timeoutSeconds} s).`;
  const made = `a template is made that ties ${who} to ${server} for ${timeoutSeconds} s`;
  return template.how === 'made'
    ? `The service is persistent and knows no template for this client: ${made}.`
    : `The template for this client led to a server that can be used no more: ${made}.`;
}

function candidateSentences(candidates: readonly TracedCandidate[]): string[] {
  return candidates.map(({ server, sum, passedBy, weight, active, inactive }) => {
    if (passedBy !== null) return `  ${endpoint(server)}: passed by, ${passedBy}`;
    return `  ${endpoint(server)}: ${sum ?? `weight ${weight}, ${active} active, ${inactive} inactive`}`;
  });
}

/** `wlc: 10.0.0.1:80 (3*256+10)/1 = 778, 10.0.0.2:80 (1*256+0)/2 = 128, chosen 10.0.0.2:80` */
export function summariseChoice(choice: NonNullable<PacketTrace['choice']>): string {
  const weighed = choice.candidates.map(({ server, sum, passedBy }) => `${endpoint(server)} ${passedBy ?? sum ?? ''}`);
  return `${choice.scheduler}: ${weighed.join(', ')}, chosen ${choice.chosen === null ? 'nobody' : endpoint(choice.chosen)}`;
}

function transition({ connection }: PacketTrace): string[] {
  if (connection === null) return ['There is no connection to move.'];
  if (connection.isError) return ['An error about a connection changes neither its state nor its timer.'];
  const { stateBefore, after, timeoutSeconds, secondsBefore } = connection;
  const seen = connection.direction === 'inbound' ? 'from the client' : 'from the server';
  const state = stateBefore === after.state ? `stays in ${after.state}` : `goes from ${stateBefore} to ${after.state}`;
  const timer = secondsBefore === null ? 'its timer starts' : 'its timer starts again';
  return [`Seen ${seen}, the connection ${state}; ${timer} at ${timeoutSeconds} s.`];
}

const METHODS: Readonly<Record<string, string>> = {
  direct:
    'Direct routing: the packet itself goes to the server, only its MACs are others; the server answers the client directly.',
  tunnel: 'Tunnel: the packet travels to the server inside another one; the server answers the client directly.',
  local: 'The server is this host itself: the packet is handed to its own stack.',
  bypass: 'No server takes it, so it goes where it wanted to go anyway (cache_bypass).',
};

function forwarding(trace: PacketTrace): string[] {
  const { connection, egress, verdict } = trace;
  const sentences: string[] = [];
  if (connection !== null) sentences.push(methodSentence(trace, connection));
  if (egress !== null) {
    const { nextHop, link, byGateway, mac, mtu, permanent } = egress;
    const hop = byGateway ? `over the router ${nextHop}` : `to ${nextHop}, which is on that link itself`;
    sentences.push(`The route says: by ${link}, ${hop} (MTU ${mtu}).`);
    if (mac === null) sentences.push(`The MAC of ${nextHop} is not known yet: it is asked for, and the packet waits.`);
    else
      sentences.push(`The MAC of ${nextHop} is ${mac}${permanent ? ' (a permanent neighbour entry)' : ' (learned)'}.`);
  }
  if (verdict === 'pass') sentences.push('It is given on to the host’s own stack as it came.');
  const own = trace.outputs.filter(({ kind }) => kind === 'own').length;
  if (own > 0) sentences.push(`The engine itself sends ${own === 1 ? 'a frame' : `${own} frames`} because of it.`);
  return sentences;
}

function methodSentence({ verdict }: PacketTrace, connection: TracedConnection): string {
  const { method, fullNat, direction, isError, after, tunnel } = connection;
  if (direction === 'outbound' && method !== 'masquerade') {
    return `The service does not use NAT, so replies need no change: ${verdict === 'pass' ? 'this one goes on as if we were not here' : 'it is sent on'}.`;
  }
  if (method === 'tunnel' && tunnel !== null && tunnel.type !== 'ipip') {
    const by = tunnel.type === 'gue' ? `GUE, UDP port ${tunnel.port}` : 'GRE';
    return `Tunnel by ${by}: the packet travels to the server inside another one; the server answers the client directly.`;
  }
  if (method !== 'masquerade') return METHODS[method] as string;
  if (isError) {
    const other = direction === 'inbound' ? after.destination : after.virtual;
    const who = direction === 'inbound' ? 'server' : 'client';
    return `NAT: in the error, and in the packet it quotes, stands ${endpoint(other)} now, so that the ${who} knows its own packet again.`;
  }
  const what = 'the packet gets';
  const name = fullNat ? 'Full NAT' : 'NAT (masquerading)';
  if (direction === 'inbound') {
    const from = fullNat && after.local !== undefined ? `the source ${endpoint(after.local)} and ` : '';
    return `${name}: ${what} ${from}the destination ${endpoint(after.destination)} instead of ${endpoint(after.virtual)}.`;
  }
  const to = fullNat ? `, and the destination ${endpoint(after.client)}` : '';
  return `${name}, the way back: ${what} the source ${endpoint(after.virtual)} instead of ${endpoint(after.destination)}${to}.`;
}

function nameOf({ after }: TracedConnection): string {
  return `${after.protocol} ${endpoint(after.client)} -> ${endpoint(after.virtual)} -> ${endpoint(after.destination)}`;
}

function formatService({ service, destination }: PacketTrace): string {
  if (service !== null) return `the service ${formatServiceKey(service.key)}`;
  return destination === null ? 'a service' : endpoint(destination);
}

export function endpoint({ address, port }: Endpoint): string {
  return formatEndpoint(address, port);
}

function asSentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** `TCP 10.0.0.5:40000 > 192.168.1.120:80`, or what else can be said of the frame. */
export function describePacket(trace: PacketTrace): string {
  const { source, destination, protocol } = trace;
  if (source === null || destination === null) return formatFrame(bytesOfHex(trace.frame));
  const name = protocolName(protocol);
  if (source.port === 0 && destination.port === 0) return `${name} ${source.address} > ${destination.address}`;
  return `${name} ${endpoint(source)} > ${endpoint(destination)}`;
}
