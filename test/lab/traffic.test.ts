import { expect, test } from 'vitest';
import { parseDnsperf } from '../../src/lab/scenarios/dns.ts';
import { parseAb } from '../../src/lab/traffic.ts';

const WHOLE = `Benchmarking 192.168.1.120 (be patient)

Server Hostname:        192.168.1.120
Concurrency Level:      20
Time taken for tests:   0.180 seconds
Complete requests:      1000
Failed requests:        4
   (Connect: 0, Receive: 0, Length: 4, Exceptions: 0)
Non-2xx responses:      2
Requests per second:    5549.38 [#/sec] (mean)
`;

test('a whole run of ab: failed requests and answers that are no success are both failures', () => {
  expect(parseAb(WHOLE, 'Completed 100 requests\nFinished 1000 requests\n')).toEqual({
    completed: 1000,
    failed: 6,
    requestsPerSecond: 5549.38,
    gaveUp: null,
  });
});

test('a run that ab gave up tells how far it came and why', () => {
  const stdout = 'Benchmarking 192.168.1.120 (be patient)\nTotal of 40 requests completed\n';
  expect(
    parseAb(stdout, 'Completed 10 requests\napr_pollset_poll: The timeout specified has expired (70007)\n'),
  ).toEqual({
    completed: 40,
    failed: 0,
    requestsPerSecond: null,
    gaveUp: 'apr_pollset_poll: The timeout specified has expired (70007)',
  });
});

test('a small run that ab gave up has no line of its own for its sum', () => {
  const stdout = 'Benchmarking 192.168.1.120 (be patient)...Total of 26 requests completed\n';
  expect(parseAb(stdout, 'apr_socket_recv: Connection refused (111)\n').completed).toBe(26);
});

test('a run without a single answer counts nothing', () => {
  const result = parseAb('Benchmarking 192.168.1.120 (be patient)...', 'apr_socket_recv: No route to host (113)\n');
  expect(result).toEqual({
    completed: 0,
    failed: 0,
    requestsPerSecond: null,
    gaveUp: 'apr_socket_recv: No route to host (113)',
  });
});

test('dnsperf counts as answered what came without an error', () => {
  const statistics = (codes: string) => `Statistics:

  Queries sent:         300
  Queries completed:    298 (99.33%)
  Queries lost:         2 (0.67%)

  Response codes:       ${codes}
  Average packet size:  request 33, response 49
  Run time (s):         0.050000
  Queries per second:   5960.077027
`;
  expect(parseDnsperf(statistics('NOERROR 298 (100.00%)'))).toEqual({
    answered: 298,
    seconds: 0.05,
    requestsPerSecond: 5960.08,
  });
  expect(parseDnsperf(statistics('NXDOMAIN 8 (2.68%), NOERROR 290 (97.32%)'))?.answered).toBe(290);
  expect(parseDnsperf(statistics('REFUSED 298 (100.00%)'))?.answered).toBe(0);
  expect(parseDnsperf('Error: unable to open')).toBeNull();
});
