import { describe, expect, test } from "vitest";
import { EventLoop } from "./event-loop.ts";
import type { SyscallArgument } from "./kernel.ts";
import { useKernel } from "./kernel.ts";
import { RecordingKernel } from "./testing/recording-kernel.ts";

const EPOLLIN = 1;

function bytesOf(argument: SyscallArgument | undefined): Uint8Array {
  if (!ArrayBuffer.isView(argument)) throw new Error("the argument is no buffer");
  return new Uint8Array(argument.buffer, argument.byteOffset, argument.byteLength);
}

/** struct epoll_event: packed on x86_64, its 64-bit member aligned elsewhere. Source: linux/eventpoll.h. */
const LAYOUTS = [
  { architecture: "x86_64", size: 12, dataAt: 4 },
  { architecture: "aarch64", size: 16, dataAt: 8 },
] as const;

describe.each(LAYOUTS)("EventLoop on $architecture", ({ architecture, size, dataAt }) => {
  test("tells the kernel which descriptor it waits for, and reads which are ready", async () => {
    const kernel = new RecordingKernel(architecture);
    using _replaced = useKernel(kernel);
    const watched: number[] = [];
    kernel.answer("epoll_ctl", (_epoll, _operation, _fd, event) => {
      watched.push(new DataView(bytesOf(event).slice().buffer).getUint32(dataAt, true));
      return 0;
    });
    kernel.answer("epoll_pwait", (_epoll, events) => {
      const list = bytesOf(events);
      const view = new DataView(list.buffer, list.byteOffset);
      for (const [index, fd] of [0x1234, 7].entries()) {
        view.setUint32(index * size, EPOLLIN, true);
        view.setUint32(index * size + dataAt, fd, true);
      }
      return 2;
    });
    const loop = new EventLoop();
    const ready: number[] = [];
    const waits = [7, 0x1234].map((fd) => loop.readable(fd).then(() => ready.push(fd)));
    expect(watched).toEqual([7, 0x1234]);
    expect([loop.turn(), loop.turn()]).toEqual([true, true]);
    await Promise.all(waits);
    expect(ready).toEqual([0x1234, 7]);
    expect(loop.turn()).toBe(false);
  });
});

test("a second wait for the same direction of a descriptor is refused", async () => {
  using _replaced = useKernel(new RecordingKernel());
  const loop = new EventLoop();
  const first = loop.readable(5);
  await expect(loop.readable(5)).rejects.toMatchObject({ code: "busy" });
  loop.forget(5);
  await expect(first).rejects.toMatchObject({ code: "closed" });
});

test("after abandon() nothing happens of what was waited for before, and the loop serves as a new one", async () => {
  const kernel = new RecordingKernel();
  using _replaced = useKernel(kernel);
  kernel.answer("epoll_pwait", () => 0);
  const loop = new EventLoop();
  const heard: string[] = [];
  loop.readable(5).then(
    () => heard.push("ready"),
    () => heard.push("failed"),
  );
  loop.after(0, () => heard.push("timer"));
  loop.soon(() => heard.push("soon"));
  loop.abandon();
  expect(loop.turn()).toBe(false);
  const again = loop.readable(5);
  loop.forget(5);
  await expect(again).rejects.toMatchObject({ code: "closed" });
  loop.soon(() => heard.push("new"));
  expect(loop.turn()).toBe(true);
  expect(heard).toEqual(["new"]);
});
