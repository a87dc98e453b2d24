import { describe } from 'vitest';
import { xdp } from '../../src/packet-io/xdp.ts';
import { type LiveSubject, liveConformance } from './live-conformance.ts';

const subject: LiveSubject = {
  kind: 'xdp',
  refused: await xdp.unavailable(),
  losesFirstFrame: false,
  linkDownRefused: null,
};

for (const xdpMode of ['generic', 'native'] as const) {
  describe(`every frame taken by an XDP program, ${xdpMode}`, () => {
    const noSuperFrames = xdpMode === 'native' ? 'veth has them cut before its native XDP' : null;
    liveConformance({ ...subject, noSuperFrames, options: { xdpMode, xdpTakesAll: true } });
  });
}

describe('nothing taken, all let pass', () => {
  liveConformance(subject);
});
