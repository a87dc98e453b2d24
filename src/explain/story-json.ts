/** A story as plain data: what `uipvs explain --json` prints. These keys stay; new ones may come. */
import type { Story } from './story.ts';

export function storyToJson(story: Story): unknown {
  const { packet, verdict, ending, reason, wayOut, choice, steps, outputs, trace } = story;
  return {
    packet,
    verdict,
    ending,
    reason,
    wayOut,
    choice,
    steps,
    outputs: outputs.map(({ kind, link, summary, frame, difference, checksums }) => ({
      kind,
      link,
      summary,
      frame,
      headers: difference?.headers.map(({ title, change, fields }) => ({ title, change, fields })) ?? null,
      changedBytes: difference?.bytesAfter ?? null,
      checksums,
    })),
    trace,
  };
}
