/** A registry with all test images, for as long as something is done with it. */
import { createServer } from "node:net";
import { TEST_IMAGES, type TestImage } from "./image-table.ts";
import { Registry } from "./registry.ts";

/** Fills a registry with `images` and gives it to `use`; then it is gone. */
export async function withRegistry<T>(
  suite: string,
  use: (registry: Registry) => Promise<T>,
  images: readonly TestImage[] = TEST_IMAGES,
): Promise<T> {
  await using registry = await Registry.start(suite, await freePort());
  for (const image of images) await registry.push(suite, image);
  return await use(registry);
}

/** A port of 127.0.0.1 that nobody listens on now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("no free port"));
        else resolve(address.port);
      });
    });
  });
}
