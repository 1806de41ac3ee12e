/**
 * The images that critest names in its source, and of what each is made here.
 *
 * Source: cri-tools 1.34.0, `pkg/framework/util.go`, `pkg/validate/consts.go`, `images/`. What is behind the names is ours: the
 * registry that holds them is reached under their registries' names by containerd's mirrors.
 */

/** What a root file system is made of, see make-roots.ts. */
export type RootName = "busybox" | "nginx" | "lighttpd" | "nonewprivs" | "pause" | "redis";

/** What a container of an image runs as, unless it says otherwise. Source: OCI image specification, "Image Configuration". */
export interface ImageConfig {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly User?: string;
}

export interface TestImage {
  /** Full reference with a tag. */
  readonly reference: string;
  readonly root: RootName;
  readonly config: ImageConfig;
  /** Files that it has beyond its root, by path; an image that differs by nothing else is another image by this. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A reference, taken apart as containerd does. */
export interface ImageReference {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

const E2E = "registry.k8s.io/e2e-test-images";
const CRI_TOOLS = "gcr.io/k8s-staging-cri-tools";

/** Go's name of the processor, which is part of one image's name. */
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** Holds a pod's namespaces open. */
export const PAUSE_IMAGE = "registry.k8s.io/pause:3.10";
export const BUSYBOX_IMAGE = `${E2E}/busybox:1.29-2`;
export const WEB_SERVER_IMAGE = `${E2E}/nginx:1.14-2`;
/** Not critest's: a web server with a program that counts in a database, and the database. */
export const WEB_IMAGE = "registry.k8s.io/kata-test/web:1";
export const DATABASE_IMAGE = "registry.k8s.io/kata-test/redis:1";

/** What its web server listens on instead of 80. */
const HOST_NETWORK_PORT = 12003;

const NGINX: ImageConfig = { Cmd: ["nginx", "-g", "daemon off;"] };
const LIGHTTPD: ImageConfig = { Cmd: ["lighttpd", "-D", "-f", "/etc/lighttpd/test.conf"] };
const SHELL: ImageConfig = { Cmd: ["sh"] };

/** Images of `image-test`: busybox and one empty file that tells them apart. */
function marked(name: string, tag: string, mark: string): TestImage {
  return {
    reference: `${CRI_TOOLS}/${name}:${tag}`,
    root: "busybox",
    config: SHELL,
    files: { [mark]: "" },
  };
}

function ofUser(name: string, user: string): TestImage {
  return {
    reference: `${CRI_TOOLS}/${name}:latest`,
    root: "busybox",
    config: { ...SHELL, User: user },
  };
}

export const TEST_IMAGES: readonly TestImage[] = [
  { reference: PAUSE_IMAGE, root: "pause", config: { Entrypoint: ["/pause"] } },
  { reference: BUSYBOX_IMAGE, root: "busybox", config: SHELL },
  { reference: WEB_SERVER_IMAGE, root: "nginx", config: NGINX },
  {
    reference: `${CRI_TOOLS}/hostnet-nginx-${ARCHITECTURE}:latest`,
    root: "nginx",
    config: NGINX,
    files: { "etc/nginx/sites-enabled/default": siteOn(HOST_NETWORK_PORT) },
  },
  {
    reference: `${E2E}/httpd:2.4.39-4`,
    root: "lighttpd",
    config: LIGHTTPD,
  },
  { reference: `${E2E}/nonewprivs:1.3`, root: "nonewprivs", config: { Entrypoint: ["/nnp"] } },
  {
    reference: WEB_IMAGE,
    root: "lighttpd",
    config: LIGHTTPD,
    files: {
      "etc/lighttpd/test.conf": [
        'server.modules = ("mod_alias", "mod_cgi")',
        'server.document-root = "/shared"',
        "server.port = 80",
        'alias.url = ("/count" => "/var/www/count.sh")',
        'cgi.assign = (".sh" => "/bin/sh")',
        "",
      ].join("\n"),
      // Redis' inline commands; an answer is ":NUMBER".
      "var/www/count.sh": [
        "printf 'Status: 200\\r\\nContent-Type: text/plain\\r\\n\\r\\n'",
        "printf 'INCR visits\\r\\nQUIT\\r\\n' | nc 127.0.0.1 6379 | head -n 1",
        "",
      ].join("\n"),
    },
  },
  {
    reference: DATABASE_IMAGE,
    root: "redis",
    config: { Cmd: ["redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always"] },
  },
  marked("test-image-latest", "latest", "test-image-latest"),
  marked("test-image-tag", "test", "test"),
  marked("test-image-tag", "all", "all"),
  ...["1", "2", "3"].map((number) => marked(`test-image-${number}`, "latest", `test-image-${number}`)),
  ...["1", "2", "3"].map((tag) => marked("test-image-tags", tag, "same-image")),
  ofUser("test-image-user-uid", "1002"),
  ofUser("test-image-user-username", "www-data"),
  ofUser("test-image-user-uid-group", "1003:1004"),
  ofUser("test-image-user-username-group", "www-data:1004"),
  {
    reference: `${CRI_TOOLS}/test-image-predefined-group:latest`,
    root: "busybox",
    config: { ...SHELL, User: "1000" },
    files: {
      "etc/passwd": users("default-user:x:1000:1000::/home:/bin/sh"),
      "etc/group": groups("default-user:x:1000:", "group-defined-in-image:x:50000:default-user"),
    },
  },
];

/** @throws Error if `reference` has no registry or no tag. */
export function parseReference(reference: string): ImageReference {
  const match = /^([^/]+\.[^/]+)\/([^@:]+):([\w.-]+)$/.exec(reference);
  const [, registry, repository, tag] = match ?? [];
  if (registry === undefined || repository === undefined || tag === undefined) {
    throw new Error(`image reference ${reference}: expected REGISTRY/NAME:TAG`);
  }
  return { registry, repository, tag };
}

/** The registries that containerd has to be sent elsewhere for. */
export function registriesOf(images: readonly TestImage[]): string[] {
  return [...new Set(images.map((image) => parseReference(image.reference).registry))].sort();
}

/** A server of nginx that answers with its welcome page. */
export function siteOn(port: number): string {
  return `server { listen ${port} default_server; root /var/www/html; }\n`;
}

/** `/etc/passwd` of all images, with further lines. */
export function users(...more: readonly string[]): string {
  const lines = [
    "root:x:0:0:root:/root:/bin/sh",
    "www-data:x:33:33:www-data:/var/www:/bin/false",
    "nobody:x:65534:65534:nobody:/home:/bin/false",
  ];
  return `${[...lines, ...more].join("\n")}\n`;
}

/** `/etc/group` of all images, with further lines. */
export function groups(...more: readonly string[]): string {
  return `${["root:x:0:", "www-data:x:33:", "nogroup:x:65534:", ...more].join("\n")}\n`;
}
