/** Puts a configuration into the shape of the recorded meanings beside the example files. */
import { checkUrl, virtualIdentity } from '../../src/ldirectord/config/effective.ts';
import type { RealServer, VirtualServer } from '../../src/ldirectord/config/types.ts';
import { formatEndpoint, isMarkKey } from '../../src/model/service.ts';

const METHODS = { gate: '-g', masq: '-m', ipip: '-i' } as const;

export function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

export function serviceWords(virtual: VirtualServer): string {
  const { key } = virtual;
  if (isMarkKey(key)) return `-f ${key.mark}${key.family === 'ipv6' ? ' -6' : ''}`;
  return `${key.protocol === 'udp' ? '-u' : '-t'} ${formatEndpoint(key.address, key.port)}`;
}

export function addServiceLine(virtual: VirtualServer): string {
  let line = `ipvsadm -A ${serviceWords(virtual)}`;
  if (virtual.ops && virtual.protocol === 'udp') line += ' -o';
  line += ` -s ${virtual.scheduler}`;
  if (virtual.persistentSeconds !== null) line += ` -p ${virtual.persistentSeconds}`;
  if (virtual.persistentSeconds !== null && virtual.netmask !== null) line += ` -M ${virtual.netmask}`;
  if (virtual.schedulerFlags !== null) line += ` -b ${virtual.schedulerFlags}`;
  return line;
}

export function addRealLine(virtual: VirtualServer, real: RealServer): string {
  const thresholds = `-x ${real.upperThreshold} -y ${real.lowerThreshold}`;
  const server = `-r ${formatEndpoint(real.address, real.port)} ${METHODS[real.forward]} -w ${real.weight}`;
  return `ipvsadm -a ${serviceWords(virtual)} ${thresholds} ${server}`;
}

const yesNo = (value: boolean) => (value ? 'yes' : 'no');

/** Only the facts a recording of this service mentions are compared, so absent ones become `undefined`. */
export function describeVirtual(virtual: VirtualServer): Record<string, unknown> {
  const { key, effective, own } = virtual;
  return {
    id: virtualIdentity(key),
    ...(isMarkKey(key) ? { fwmark: key.mark } : { address: bracketed(key.address), port: key.port }),
    family: virtual.family,
    protocol: virtual.protocol,
    scheduler: virtual.scheduler,
    persistent: virtual.persistentSeconds,
    netmask: virtual.family === 'ipv6' && virtual.netmask !== null ? Number(virtual.netmask) : virtual.netmask,
    schedflags: virtual.schedulerFlags,
    ipvsadm_add: addServiceLine(virtual),
    checktype: virtual.checkType,
    connects_between_negotiates: virtual.checkType === 'combined' ? virtual.connectsBetweenNegotiates : null,
    service: virtual.service,
    virtualhost: virtual.virtualHost,
    checkcommand: virtual.checkCommand === '/bin/true' ? null : virtual.checkCommand,
    checkport: virtual.checkPort,
    login: virtual.login || null,
    passwd: virtual.password || null,
    database: virtual.database || null,
    secret: virtual.secret || null,
    ops: virtual.ops ? 'yes' : null,
    monitorfile: virtual.monitorFile,
    servicename: virtual.serviceName,
    comment: virtual.comment,
    fallbackcommand: own.fallbackCommand,
    quiescent: own.quiescent === null ? null : yesNo(own.quiescent),
    cleanstop: own.cleanStop === null ? null : yesNo(own.cleanStop),
    emailalert: own.emailAlert,
    smtp: own.smtp,
    emailalertfreq: own.emailAlertSeconds,
    emailalertstatus: own.emailAlertStates,
    checkinterval: own.checkIntervalSeconds,
    request: virtual.request,
    receive: virtual.receive,
    effective: {
      checktimeout: effective.checkTimeoutSeconds,
      negotiatetimeout: effective.negotiateTimeoutSeconds,
      checkcount: effective.checkCount,
      failurecount: effective.failureCount,
      quiescent: yesNo(effective.quiescent),
      cleanstop: yesNo(effective.cleanStop),
    },
    fallback: describeFallback(virtual),
    real: virtual.real.map((real) => describeReal(virtual, real)),
  };
}

function describeFallback({ fallback, fallbackUnusable }: VirtualServer): unknown {
  if (fallbackUnusable) return { broken: 'a global fallback is unusable for a firewall-mark service' };
  if (fallback === null) return null;
  return {
    address: bracketed(fallback.address),
    port: fallback.port,
    forward: fallback.forward,
    weight: 1,
    ...(fallback.source === 'global' ? { from: 'global' } : {}),
  };
}

function describeReal(virtual: VirtualServer, real: RealServer): Record<string, unknown> {
  const web = ['http', 'https', 'http_proxy'].includes(virtual.service);
  const asks = virtual.checkType === 'negotiate' || virtual.checkType === 'combined';
  return {
    address: bracketed(real.address),
    port: real.port,
    forward: real.forward,
    weight: real.weight,
    lthreshold: real.lowerThreshold || null,
    uthreshold: real.upperThreshold || null,
    request: real.request,
    receive: real.receive,
    url: web && asks ? checkUrl(virtual, real) : null,
    ipvsadm_add: addRealLine(virtual, real),
  };
}
