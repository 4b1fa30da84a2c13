import contextlib
import importlib.util
import io
import pathlib
import unittest

spec = importlib.util.spec_from_file_location("rights", pathlib.Path(__file__).with_name("__main__.py"))
rights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rights)


def record(template="t", functions=("F",), used=(), unused=(), requests=()):
    right = lambda action: {"function": "F", "action": action, "resource": "r"}
    given = [{**right(action), "used": True} for action in used]
    given += [{**right(action), "used": False} for action in unused]
    asked = [{"kind": kind, "times": 1, "struck": struck} for kind, struck in requests]
    return {"template": template, "functions": list(functions), "rights": given, "requests": asked}


def faults(tests, matrix):
    with contextlib.redirect_stdout(io.StringIO()):
        return rights.faults(tests, matrix, "t")


class Rights(unittest.TestCase):
    def test_a_right_is_used_by_any_twin(self):
        tests = [record(used=["a"], unused=["b"]), record(used=["b"], unused=["a"], requests=[("F x", 0)])]
        self.assertEqual(faults(tests, [record(requests=[("F x", 1)])]), [])
        tests[1]["rights"][0]["used"] = False
        self.assertEqual(faults(tests, [record(requests=[("F x", 1)])]), ["never used: F: b on r"])

    def test_a_changed_template_gives_no_rights_and_uses_those_there_are(self):
        tests = [record(unused=["a"], requests=[("F x", 0)]), record("changed", used=["a"], unused=["more"])]
        self.assertEqual(faults(tests, [record(requests=[("F x", 1)])]), [])

    def test_a_twin_whose_functions_asked_for_nothing_gives_no_rights(self):
        tests = [record(used=["a"], requests=[("F x", 0)]), record(unused=["a of another stage"])]
        self.assertEqual(faults(tests, [record(requests=[("F x", 1)])]), [])

    def test_every_kind_of_request_is_struck_by_the_matrix(self):
        tests = [record(used=["a"], requests=[("F x", 1), ("F y", 0)]), record("other", ("G",), requests=[("G z", 0)])]
        self.assertEqual(faults(tests, [record(requests=[("F x", 0), ("F y", 1)])]), ["no row of the matrix: F x"])

    def test_without_records_nothing_is_right(self):
        self.assertEqual(len(faults([], [])), 1)
        self.assertEqual(len(faults([record(used=["a"], requests=[("F x", 0)])], [])), 2)


if __name__ == "__main__":
    unittest.main()
