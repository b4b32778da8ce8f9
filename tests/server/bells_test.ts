import { assertEquals, assertRejects } from "@std/assert";
import { Bells } from "../../src/server/bells.ts";

const forever = new AbortController().signal;

Deno.test("Bells.ring() wakes all who wait for the topic, and only them", async () => {
  const bells = new Bells();
  const woken: string[] = [];
  const wait = (topic: string, name: string) => bells.next(topic, forever).then(() => woken.push(name));
  const first = [wait("a", "one"), wait("a", "two")];
  const other = wait("b", "three");
  bells.ring("a");
  await Promise.all(first);
  assertEquals([woken, bells.size], [["one", "two"], 1]);
  bells.ring("b");
  await other;
});

Deno.test("Bells.next() throws the signal's reason and leaves nothing behind", async () => {
  const bells = new Bells();
  const abort = new AbortController();
  const waiting = assertRejects(() => bells.next("a", abort.signal), Error, "enough");
  abort.abort(new Error("enough"));
  await waiting;
  await assertRejects(() => bells.next("a", abort.signal), Error, "enough");
  assertEquals(bells.size, 0);
});

Deno.test("Bells.next() of a watcher that waits again and again keeps one listener on its signal", async () => {
  let listeners = 0;
  const signal = Object.assign(new EventTarget(), { aborted: false, reason: undefined });
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args) => (listeners++, addEventListener.apply(signal, args));
  signal.removeEventListener = (...args) => (listeners--, removeEventListener.apply(signal, args));
  const bells = new Bells();
  for (let i = 0; i < 100; i++) {
    const rung = bells.next("a", signal as unknown as AbortSignal);
    bells.ring("a");
    await rung;
  }
  assertEquals(listeners, 0);
});

Deno.test("Bells.ring() wakes many in turns, between which other work is done", async () => {
  const bells = new Bells();
  let woken = 0;
  const waiting = Array.from({ length: 500 }, () => bells.next("a", forever).then(() => woken++));
  bells.ring("a");
  const seen = await new Promise<number>((resolve) => setTimeout(() => resolve(woken)));
  assertEquals(seen > 0 && seen < 500, true);
  await Promise.all(waiting);
  assertEquals([woken, bells.size], [500, 0]);
});

Deno.test("Bells.next() can be given up by one who is still to be woken", async () => {
  const bells = new Bells();
  const abort = new AbortController();
  const others = Array.from({ length: 100 }, () => bells.next("a", forever));
  const last = assertRejects(() => bells.next("a", abort.signal), Error, "enough");
  bells.ring("a");
  abort.abort(new Error("enough"));
  await Promise.all([...others, last]);
});

Deno.test("Bells.ring() wakes few at once however often, and many at a bounded rate", async () => {
  const bells = new Bells();
  for (let i = 0; i < 10; i++) {
    const rung = bells.next("few", forever);
    bells.ring("few");
    assertEquals(await Promise.race([rung, new Promise((resolve) => setTimeout(resolve, 0, "late"))]), true);
  }
  let woken = 0;
  let done = false;
  const wait = async () => {
    while (!done) if (await bells.next("many", forever)) woken++;
  };
  const waiting = Array.from({ length: 300 }, wait);
  const began = performance.now();
  while (performance.now() - began < 200) {
    bells.ring("many");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const most = 32 * (2 + (performance.now() - began) / 16);
  assertEquals(woken > 32 && woken < most, true, `${woken} woken, at most ${most}`);
  done = true;
  bells.ringAll();
  await Promise.all(waiting);
});
