import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatRego, fromJson } from "../json.ts";
import { compileModules } from "../program.ts";
import { HASHES, hmac } from "./hashes.ts";

const nothing = compileModules([]);

/** The value of an expression as Rego text. */
function value(expression: string, input: unknown = null): string {
  const result = nothing.evaluate(expression, {
    input: fromJson(input),
    host: {
      now: () => 1_700_000_000_000_000_000n,
      zone: (zone) => (zone === "Asia/Kolkata" ? { offset: 19_800, name: "IST" } : undefined),
    },
  });
  return result.defined ? formatRego(result.value) : "undefined";
}

const tables: Record<string, [expression: string, expected: string][]> = {
  "what OPA alone decides": [
    ['[upper("Straße ﬃ ᾳ ᾇ"), lower("ΑΣ İI ẞ"), upper("𐐨")]', '["STRAßE ﬃ ᾼ ᾏ", "ασ ii ß", "𐐀"]'],
    ["array.slice([1, 2, 3], 1, 1700000000000000000)", "[2, 3]"],
    ["array.slice([1, 2, 3], -1700000000000000000, 2)", "[1, 2]"],
    ['strings.split_n("a,b,c", ",", 9007199254740993)', '["a", "b", "c"]'],
    ['strings.render_template("{{.a}} {{ .b }}", {"a": 1})', '"1 <undefined>"'],
    ['strings.render_template("{{if .a}}yes{{end}}", {"a": 1})', "undefined"],
    ['strings.render_template("{{.a", {"a": 1})', "undefined"],
    ["time.diff(500000000, 1000000000)", "[0, 0, 0, 0, 0, 1]"],
    [
      'uri.parse("http://a/b c?d e#f g")',
      '{"fragment": "f g", "hostname": "a", "path": "/b c", "raw_path": "/b c", "raw_query": "d e", "scheme": "http"}',
    ],
    ['[uri.is_valid(" x "), uri.is_valid("http://a b/c"), uri.is_valid("a: 1")]', "[true, false, true]"],
    ['[io.jwt.verify_hs256("*.*.AAAA", "x"), io.jwt.verify_hs384("api.*.com", "x")]', "[false, false]"],
    ['io.jwt.verify_hs256("a.b.c", "x")', "undefined"],
    ['[yaml.is_valid("%a b"), yaml.is_valid("%YAML 1.2\\n---\\na: 1")]', "[false, true]"],
    ['json.marshal_with_options([], {"pretty": input})', "undefined"],
    ['json.marshal_with_options([], {"indent": input})', "undefined"],
  ],
  aggregates: [
    [
      '[count("aé😀"), sum({1, 2}), product([2, 3]), max([1, "a"]), min({3, 2}), sort({2, 1})]',
      '[3, 3, 6, "a", 2, [1, 2]]',
    ],
    ["max([])", "undefined"],
  ],
  numbers: [
    [
      "[7 % 3, -7 % 3, 7 / 2, 2 * 0.5, round(2.5), ceil(1.2), floor(-1.2), abs(-3)]",
      "[1, -1, 3.5, 1, 3, 2, -2, 3]",
    ],
    ["123456789012345678901234567890 + 1", "123456789012345678901234567891"],
    ["numbers.range(3, 1)", "[3, 2, 1]"],
    ["numbers.range_step(0, 10, 5)", "[0, 5, 10]"],
    ['[to_number("1.5e3"), to_number(true), to_number(null)]', "[1500, 1, 0]"],
    ['to_number("0x10")', "undefined"],
    ["[format_int(255, 16), format_int(-5.9, 2)]", '["ff", "-101"]'],
    [
      "[bits.and(6, 3), bits.or(6, 3), bits.xor(6, 3), bits.negate(0), bits.lsh(1, 70), bits.rsh(-8, 1)]",
      "[2, 7, 5, -1, 1180591620717411303424, -4]",
    ],
  ],
  strings: [
    [
      '[substring("aé😀b", 1, 2), substring("abc", 1, -1), indexof("é😀x", "x"), indexof_n("aXbX", "X")]',
      '["é😀", "bc", 2, [1, 3]]',
    ],
    [
      '[trim("xaxbx", "x"), trim_left("xxa", "x"), trim_right("axx", "x"), trim_prefix("ab", "a"), trim_suffix("ab", "b"), trim_space(" a\\n")]',
      '["axb", "a", "a", "b", "a", "a"]',
    ],
    [
      '[replace("aaa", "a", "b"), strings.replace_n({"a": "b", "b": "c"}, "ab"), strings.reverse("añ"), strings.count("aXaX", "X")]',
      '["bbb", "bc", "ña", 2]',
    ],
    [
      '[strings.any_prefix_match(["ab", "c"], {"a"}), strings.any_suffix_match("ab", ["x"])]',
      "[true, false]",
    ],
    [
      'sprintf("%d|%5.2f|%-4s|%q|%v|%x|%05d|%t|%%|%s", [42, 3.14159, "a", "b", {1, 2}, 255, -42, true, [1]])',
      '"42| 3.14|a   |\\"b\\"|{1, 2}|ff|-0042|%!t(string=true)|%|[1]"',
    ],
    ['sprintf("%s %d", ["a"])', '"a %!d(MISSING)"'],
    ['sprintf("a", [1, "b"])', '"a%!(EXTRA int64=1, string=b)"'],
  ],
  "regular expressions": [
    [
      '[regex.match("^a+$", "aaa"), regex.match("b", "aaa"), regex.match(`(?i)^É`, "éa"), regex.is_valid("(?=a)"), regex.is_valid("[")]',
      "[true, false, true, false, false]",
    ],
    [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: this is Go's syntax of replacements
      '[regex.split("-+", "a--b-c"), regex.find_n("a.", "abacad", 2), regex.replace("foobar", "o(o)(?P<rest>.*)", "<$1|${rest}|$$>")]',
      '[["a", "b", "c"], ["ab", "ac"], "f<o|bar|$>"]',
    ],
    ['regex.find_all_string_submatch_n("a(x*)b", "-axxb-ab-", -1)', '[["axxb", "xx"], ["ab", ""]]'],
    ['regex.template_match("urn:{[0-9]+}:x", "urn:12:x", "{", "}")', "true"],
    ['[regex.globs_match("a.a.[0-9]+z", "aaa.*z"), regex.globs_match("a", "b")]', "[true, false]"],
    [
      '[glob.match("*.com", [], "a.com"), glob.match("*.com", [], "a.b.com"), glob.match("**.com", [], "a.b.com"), glob.match("{a,b}?[!c]", null, "bxd")]',
      "[true, false, true, true]",
    ],
  ],
  objects: [
    [
      '[object.get({"a": {"b": 1}}, ["a", "b"], 0), object.get({"a": null}, "a", 1), object.get({}, "x", 2)]',
      "[1, null, 2]",
    ],
    [
      '[object.union({"a": {"b": 1}}, {"a": {"c": 2}}), object.remove({"a": 1, "b": 2}, ["a"]), object.subset({"a": {"b": 1}}, {"a": {}})]',
      '[{"a": {"b": 1, "c": 2}}, {"b": 2}, true]',
    ],
    [
      'json.patch({"a": [1, 2]}, [{"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/a/0"}])',
      '{"a": [2, 3]}',
    ],
    ['json.patch({"a": 1}, [{"op": "test", "path": "/a", "value": 2}])', "undefined"],
    [
      '[json.filter({"a": {"b": 1, "c": 2}}, ["a/b"]), json.remove({"a": {"b": 1, "c": 2}}, ["a/b"])]',
      '[{"a": {"b": 1}}, {"a": {"c": 2}}]',
    ],
    ['{p | walk({"a": [1]}, [p, 1])}', '{["a", 0]}'],
    [
      '[graph.reachable({"a": ["b"], "b": ["a"], "c": []}, ["a"]), graph.reachable_paths({"a": ["b"], "b": []}, {"a"})]',
      '[{"a", "b"}, {["a", "b"]}]',
    ],
  ],
  encodings: [
    [
      '[base64.encode("hé?"), base64url.encode_no_pad("hé??"), base64.decode("aGk="), base64.is_valid("a"), hex.encode("é"), hex.decode("c3a9")]',
      '["aMOpPw==", "aMOpPz8", "hi", false, "c3a9", "é"]',
    ],
    [
      '[urlquery.encode("a b&ü"), urlquery.decode("a+b%26"), urlquery.encode_object({"k": ["1", "2"]}), urlquery.decode_object("k=1&k=2")]',
      '["a+b%26%C3%BC", "a b&", "k=1&k=2", {"k": ["1", "2"]}]',
    ],
    [
      '[json.marshal({"a": {1, "<"}}), json.unmarshal("[1]"), json.is_valid("{"), yaml.unmarshal("a:\\n- 1\\n- b: c"), yaml.marshal({"a": [1, "true"]})]',
      '["{\\"a\\":[1,\\"\\\\u003c\\"]}", [1], false, {"a": [1, {"b": "c"}]}, "a:\\n- 1\\n- \\"true\\"\\n"]',
    ],
  ],
  times: [
    [
      '[time.now_ns(), time.date(time.now_ns()), time.clock([time.now_ns(), "Asia/Kolkata"]), time.weekday(0)]',
      '[1700000000000000000, [2023, 11, 14], [3, 43, 20], "Thursday"]',
    ],
    [
      '[time.parse_rfc3339_ns("1985-04-12T23:20:50.52Z"), time.parse_ns("Jan _2 2006 PM 3:04", "Feb  9 2018 PM 5:06"), time.parse_duration_ns("-1.5h")]',
      "[482196050520000000, 1518195960000000000, -5400000000000]",
    ],
    [
      '[time.format([0, "Asia/Kolkata", "Mon Jan _2 15:04:05 MST 2006"]), time.format(1), time.add_date(0, 0, 1, 30), time.diff(0, 90061000000000)]',
      '["Thu Jan  1 05:30:00 IST 1970", "1970-01-01T00:00:00.000000001Z", 5270400000000000, [0, 0, 1, 1, 1, 1]]',
    ],
    ['time.parse_rfc3339_ns("2023-02-30T00:00:00Z")', "undefined"],
  ],
  others: [
    [
      '[units.parse("10Ki"), units.parse("100m"), units.parse_bytes("1.5KB"), units.parse_bytes("2GiB")]',
      "[10240, 0.1, 1500, 2147483648]",
    ],
    [
      '[semver.compare("1.2.3-rc.2", "1.2.3-rc.10"), semver.compare("1.0.0", "1.0.0-a"), semver.is_valid("1.2")]',
      "[-1, 1, false]",
    ],
    [
      '[net.cidr_contains("10.0.0.0/8", "10.1.2.3"), net.cidr_intersects("10.0.0.0/8", "11.0.0.0/8"), net.cidr_merge(["10.0.0.0/25", "10.0.0.128/25"]), net.cidr_expand("::1/127")]',
      '[true, false, {"10.0.0.0/24"}, {"::", "::1"}]',
    ],
    ['[uuid.parse("b01d0062-a116-11ee-822b-7ab0b9e5e0c0").time, uuid.parse("x")]', "undefined"],
    [
      'io.jwt.decode_verify(io.jwt.encode_sign({"alg": "HS256"}, {"iss": "a"}, {"kty": "oct", "k": "a2V5"}), {"secret": "key", "iss": "a"})',
      '[true, {"alg": "HS256"}, {"iss": "a"}]',
    ],
    ['http.send({"method": "get", "url": "http://localhost"})', "undefined"],
    [
      'uri.parse("https://u@h:8/p?q#f")',
      '{"fragment": "f", "hostname": "h", "path": "/p", "port": "8", "raw_path": "/p", "raw_query": "q", "scheme": "https"}',
    ],
  ],
};
for (const [family, cases] of Object.entries(tables)) {
  describe(family, () => {
    for (const [expression, expected] of cases) {
      test(expression, () => {
        expect(value(expression)).toBe(expected);
      });
    }
  });
}

test("hash functions and HMACs agree with Node's for any input", () => {
  const names = ["md5", "sha1", "sha256", "sha384", "sha512"] as const;
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 200 }),
      (name, message, key) => {
        const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
        expect(hex(HASHES[name].digest(message))).toBe(createHash(name).update(message).digest("hex"));
        expect(hex(hmac(HASHES[name], key, message))).toBe(
          createHmac(name, key).update(message).digest("hex"),
        );
      },
    ),
  );
});
