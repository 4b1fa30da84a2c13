"""The checks find what is planted, and nothing else."""

import pathlib
import tempfile
import unittest

import graph
import measure
import rust
import typescript


class Planted(unittest.TestCase):
    """A folder for the files of a test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()

    def plant(self, files: dict[str, str]) -> list[pathlib.Path]:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        return [self.folder / name for name in files]

    def siblings(self, files: dict[str, str]) -> dict[tuple[str, ...], dict[str, dict[str, list[str]]]]:
        return rust.siblings(rust.crate(self.plant(files)[0], self.folder))

    def circles(self, files: dict[str, str]) -> list[list[str]]:
        return [together for edges in self.siblings(files).values() for together, _ in graph.circles(edges)]


class Graphs(unittest.TestCase):
    def test_a_circle_is_shown_by_its_shortest_way(self):
        edges = {"a": {"b", "c"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
        self.assertEqual(graph.circles(edges), [(["a", "b", "c"], ["a", "c", "a"])])

    def test_circles_that_do_not_touch_are_two(self):
        edges = {"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"c"}}
        self.assertEqual([together for together, _ in graph.circles(edges)], [["a", "b"], ["c", "d"]])

    def test_no_circle(self):
        self.assertEqual(graph.circles({"a": {"b"}, "b": {"c", "outside"}, "c": set(), "d": {"d"}}), [])


class Modules(Planted):
    def test_imports_of_siblings_close_a_circle_however_they_are_written(self):
        ways = {
            "use crate::a::A;": 1,
            "use super::a::A;": 1,
            "use super::{c::C, a::{self, A}};": 1,
            "use crate::{\n    c::C,\n    a as other,\n};": 1,
            "fn f() { let _ = crate::a::A; }": 1,
            "fn f() -> Result<super::a::A, ()> { Err(()) }": 1,
            "macro_rules! made { () => { $crate::a::A } }": 1,
            '#[serde(with = "crate::a::text")] struct B;': 1,
            "pub use super::a::*;": 1,
            "use crate::c::C;": 0,
            "// use crate::a::A;": 0,
            "/* use /* nested */ crate::a::A; */": 0,
            "/// Not [`crate::a::A`].\nstruct B;": 0,
            'const TEXT: &str = "use crate::a::A;";': 0,
            'const TEXT: &str = r#"a " use crate::a::A;"#;': 0,
            "fn f<'a>(x: &'a str) -> char { '\"' }": 0,
            "use ::a::A;": 0,
            "use other_crate::a::A;": 0,
            "#[cfg(test)] mod tests { use crate::a::A; }": 0,
            "#[cfg(test)]\nuse crate::a::A;": 0,
            "#[cfg(test)] fn f() { crate::a::f(); }\nstruct B;": 0,
            "#[cfg(not(test))] use crate::a::A;": 1,
        }
        for text, circles in ways.items():
            with self.subTest(text):
                files = {"lib.rs": "mod a; mod b; mod c;", "a.rs": "use crate::b::B;", "b.rs": text, "c.rs": ""}
                self.assertEqual(self.circles(files), [["a", "b"]] * circles)

    def test_the_places_of_a_circle_are_named(self):
        files = {"lib.rs": "mod a;\nmod b;", "a.rs": "\n\nuse crate::b::B;", "b.rs": "use crate::{\n    a::A,\n};"}
        self.assertEqual(self.siblings(files), {(): {"a": {"b": ["a.rs:3"]}, "b": {"a": ["b.rs:2"]}}})

    def test_a_circle_of_three(self):
        files = {"lib.rs": "mod a { use super::b::B; } mod b { use super::c::C; } mod c { use super::a::A; }"}
        self.assertEqual(self.circles(files), [["a", "b", "c"]])

    def test_a_circle_of_a_lower_floor_and_one_between_folders(self):
        files = {
            "main.rs": "mod x; mod y;",
            "x/mod.rs": "mod a; mod b;",
            "x/a.rs": "use super::b::B; use crate::y::deep::D;",
            "x/b.rs": "pub(in crate::x) struct B; fn f() { super::a::f() }",
            "y.rs": "mod deep;",
            "y/deep.rs": "use crate::x::b::B;",
        }
        self.assertEqual(sorted(self.circles(files)), [["a", "b"], ["x", "y"]])

    def test_a_reexport_leads_to_the_sibling_that_declares(self):
        files = {
            "lib.rs": "mod a; mod b; pub use b::B; pub use a::*; pub struct Own;",
            "a.rs": "use crate::B; pub struct A;",
            "b.rs": "use super::A; pub struct B;",
        }
        self.assertEqual(self.circles(files), [["a", "b"]])
        # What a glob brings along counts if it is used.
        used = {**files, "b.rs": "use super::*; pub struct B(A);"}
        self.assertEqual(self.circles(used), [["a", "b"]])
        unused = {**files, "b.rs": "use super::*; pub struct B(Own);"}
        self.assertEqual(self.circles(unused), [])

    def test_what_the_parent_itself_declares_is_no_circle(self):
        files = {
            "lib.rs": "mod a; mod b; pub struct Own; fn f() { a::f(); b::f() }",
            "a.rs": "use crate::Own;",
            "b.rs": "use super::{Own, a};",
        }
        self.assertEqual(self.circles(files), [])

    def test_a_name_bound_to_a_module_is_followed(self):
        files = {
            "lib.rs": "mod a; mod b; mod x { pub mod y; }",
            "a.rs": "use crate::x::y as z; fn f() { z::g() }",
            "b.rs": "",
            "x/y.rs": "pub use crate::a::f as g;",
        }
        self.assertEqual(self.circles(files), [["a", "x"]])

    def test_a_file_that_is_missing_is_an_error(self):
        with self.assertRaises(FileNotFoundError):
            self.siblings({"lib.rs": "mod absent;"})

    def test_a_file_at_another_path_is_read(self):
        files = {
            "lib.rs": '#[path = "other.rs"]\nmod a; mod b;',
            "other.rs": "use crate::b::B;",
            "b.rs": "use crate::a::A;",
        }
        self.assertEqual(self.circles(files), [["a", "b"]])


class Scripts(Planted):
    def circles(self, files: dict[str, str]) -> list[list[str]]:
        edges = typescript.imports(self.plant(files), self.folder)
        return [together for together, _ in graph.circles(edges)]

    def test_imports_close_a_circle_however_they_are_written(self):
        ways = {
            'import { a } from "./a.js";': 1,
            'import type { A } from "./a.js";': 1,
            'import {\n  a,\n  type A,\n} from "./a.js";': 1,
            'export * from "./a.js";': 1,
            'export { a as b } from "./a.js";': 1,
            'import "./a.js";': 1,
            'const a = await import("./a.js");': 1,
            '// import { a } from "./a.js";': 0,
            '/* import { a } from "./a.js"; */': 0,
            'import { a } from "a";': 0,
            'export const text = "from ./a.js";': 0,
        }
        for text, circles in ways.items():
            with self.subTest(text):
                files = {"a.ts": 'import { b } from "./b";', "b.ts": text}
                self.assertEqual(self.circles(files), [["a.ts", "b.ts"]] * circles)

    def test_folders_and_places(self):
        importer = '// A "quote\n\nimport { b } from "./x/b.js";'
        files = self.plant({"a.js": importer, "x/b.js": 'export * from "../a.js";'})
        edges = typescript.imports(files, self.folder)
        self.assertEqual(edges, {"a.js": {"x/b.js": ["a.js:3"]}, "x/b.js": {"a.js": ["x/b.js:1"]}})


class Sizes(Planted):
    def test_a_long_function_and_a_complex_one_are_measured(self):
        branches = "".join(f"    if x == {n} {{ return {n}; }}\n" for n in range(30))
        in_script = branches.replace("if x ==", "if (x ===").replace(" {", ") {")
        files = self.plant(
            {
                "a.rs": f"async fn short() {{}}\n\npub fn long(x: u8) -> u8 {{\n{branches}    0\n}}\n",
                "a.ts": f"export function long(x: number) {{\n{in_script}}}\n",
            }
        )
        found = {function.place: function for function in measure.functions(files, self.folder)}
        self.assertEqual((found["a.rs:1"].lines, found["a.rs:1"].complexity), (1, 1))
        self.assertEqual((found["a.rs:3"].lines, found["a.rs:3"].complexity), (33, 31))
        self.assertEqual((found["a.ts:1"].lines, found["a.ts:1"].complexity), (32, 31))

    def test_every_arm_of_a_match_counts(self):
        arms = "".join(f"{n} => {{}}\n" for n in range(30))
        files = self.plant({"a.rs": f"fn choose(x: u8) {{ match x {{\n{arms}_ => {{}} }} }}"})
        self.assertGreater(measure.functions(files, self.folder)[0].complexity, 25)

    def test_tests_are_known_by_folder_and_name(self):
        tests = ["tests/twin/a.rs", "x/tests/a.ts", "src/tests.rs", "src/a_tests.rs", "src/a.test.ts", "src/tests/a.rs"]
        others = ["src/a.rs", "src/contests.rs", "src/test.ts", "src/tests_of.rs"]
        self.assertEqual([path for path in tests + others if measure.is_test(path)], tests)

    def test_the_public_methods_of_a_struct_are_counted_over_all_its_files(self):
        one = """
            pub struct Users { a: u8 }
            pub(crate) struct Hidden;
            struct Private;
            pub struct Bare;
            impl Users {
                /// pub fn no
                pub fn new() -> Self { pub fn inner() {} Self }
                pub async fn one(&self) -> Result<(), Error> { self.f(|x| { x }) }
                pub(crate) async fn two(&self) {}
                fn three(&self) {}
                pub const LIMIT: usize = 3;
                pub const fn four() {}
            }
            impl From<A> for Users { fn from(a: A) -> Self { a } }
            impl Hidden { pub fn no(&self) {} }
        """
        other = "impl<T: Into<Vec<u8>>> Users where T: Copy { pub fn five(&self) {} }"
        self.assertEqual(measure.public_methods([one, other]), {"Users": 4, "Bare": 0})


if __name__ == "__main__":
    unittest.main()
