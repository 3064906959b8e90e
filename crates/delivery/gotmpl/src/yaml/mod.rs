//! YAML as Kubernetes' tools in Go read and write it (`sigs.k8s.io/yaml`: YAML 1.1 with
//! string keys, sorted on output).
//!
//! Never keeps comments or the order of keys.

pub mod order;
mod read;
mod resolve;
pub mod scalar;
mod write;

pub use read::{Error, read, read_all, read_lenient};
pub use resolve::{is_float, plain};
pub use write::{write, write_pretty};

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    fn check(text: &str, want: &Expect) {
        let shown = match super::read(text) {
            Ok(value) => super::write(&value),
            Err(error) => format!("error: {error}"),
        };
        want.assert_eq(&shown);
    }

    #[test]
    fn scalars_mean_what_yaml_1_1_says_and_come_back_quoted_where_needed() {
        check(
            "a: yes\nb: 'yes'\nc: 0755\nd: 0o7\ne: 1_000\nf: 12:30:45\ng: 1e3\nh: ~\ni: 2001-01-01\nj: \"1\"\nk: .5\nl: 0x1F\nm: \"0x\"\nn: =\n",
            &expect![[r#"
                a: true
                b: "yes"
                c: 493
                d: 7
                e: 1000
                f: "12:30:45"
                "false": =
                g: 1000
                h: null
                i: "2001-01-01"
                j: "1"
                k: 0.5
                l: 31
                m: 0x
            "#]],
        );
    }

    #[test]
    fn text_is_quoted_as_go_quotes_it() {
        check(
            "{a: '', b: ' x', c: \"x: y\", d: \"a\\nb\", e: \"a\\nb\\n\", f: '@x', g: \"it's\", h: '- a', i: \"tab\\tx\", j: ü, k: '{{x}}', l: 'a #b', m: 'a\\b', n: \"*\", o: \"a\\n\\n\"}",
            &expect![[r#"
                a: ""
                b: ' x'
                c: 'x: y'
                d: |-
                  a
                  b
                e: |
                  a
                  b
                f: '@x'
                "false": '*'
                g: it's
                h: '- a'
                i: "tab\tx"
                j: ü
                k: '{{x}}'
                l: 'a #b'
                m: a\b
                o: |+
                  a

            "#]],
        );
    }

    #[test]
    fn lists_stand_under_their_key_and_keys_are_sorted() {
        check(
            "b:\n  - x: 1\n    y: [1, [2, 3], {}]\n  - []\na: {}\na10: 1\na9: 1\n",
            &expect![[r#"
                a: {}
                a9: 1
                a10: 1
                b:
                - "true":
                  - 1
                  - - 2
                    - 3
                  - {}
                  x: 1
                - []
            "#]],
        );
    }

    #[test]
    fn anchors_merge_and_duplicates_are_refused() {
        check(
            "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n",
            &expect![[r#"
            "true":
              a: 1
              b: 3
            x:
              a: 1
              b: 2
        "#]],
        );
        check("a: [1\n", &expect!["error: yaml: line 1: unclosed bracket '['"]);
    }

    #[test]
    fn keys_whose_order_goes_in_circles_are_written_all_the_same() {
        let keys: Vec<String> = (0..40).flat_map(|n| [format!("x{n}"), format!("x{n}y"), format!("x{n}a1")]).collect();
        let text = super::write(&crate::Value::pairs(keys.iter().map(|key| (key, crate::Value::Int(1)))));
        assert_eq!(text.lines().count(), keys.len());
    }

    #[test]
    fn documents_are_split() {
        let all = super::read_all("# first\n---\na: 1 # one\n---\n# nothing\n---\nb: 2\n# last\n").unwrap();
        assert_eq!(all.len(), 3);
        assert!(all[1].is_nil());
    }
}
