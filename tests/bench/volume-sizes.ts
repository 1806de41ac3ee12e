/** What volumes are measured with: some megabytes, so that an emulated guest is through with it in seconds. */

export const ROUNDS = 5;
export const SEQUENTIAL_BYTES = 4 << 20;
export const BLOCK_BYTES = 4096;
export const RANDOM_BLOCKS = 2048;
export const RANDOM_SAMPLES = 200;
export const SMALL_FILES = 300;
export const SMALL_FILE_BYTES = 2048;
