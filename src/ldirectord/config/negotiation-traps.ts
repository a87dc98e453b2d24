/** Warnings about negotiations that lack what they need: the file is right, but the server would never come up. */
import type { RealServer, VirtualServer } from './types.ts';

/** What the negotiation of a service lacks, or does not do as one might think. */
export function negotiationTraps(virtual: VirtualServer): string[] {
  const { service, login, password, secret, receive, request, real } = virtual;
  const hasOwn = (server: RealServer) => server.request !== null && server.receive !== null;
  const asksNothing = request === '/' && !real.every(hasOwn);
  const missing = (words: Readonly<Record<string, boolean>>): string[] => {
    const names = Object.keys(words).filter((word) => words[word]);
    return names.length === 0 ? [] : [`without ${names.join(' and ')} the check always fails`];
  };
  switch (service) {
    case 'dns': {
      const any = receive === '' && !real.every(hasOwn);
      const text = 'without receive any address will do here; with the original ldirectord the check always fails';
      return [...missing({ request: asksNothing }), ...(any ? [text] : [])];
    }
    case 'ldap':
    case 'ldaps':
      return login !== '' && password === '' ? ['without passwd the login is not used and the bind is anonymous'] : [];
    case 'mysql':
    case 'pgsql':
      return missing({ login: login === '', request: asksNothing });
    case 'radius':
      return missing({ login: login === '', passwd: password === '', secret: secret === '' });
    default:
      return [];
  }
}
