//! YAML: what is read is written in a form that reads as the same.
#![no_main]

use gotmpl::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(documents) = gotmpl::yaml::read_all(text) else { return };
    for document in documents {
        let document = without_negative_zero(&document);
        let written = gotmpl::yaml::write(&document);
        let again = gotmpl::yaml::read(&written).expect("what is written can be read");
        assert_eq!(gotmpl::yaml::write(&again), written);
    }
});

/// `-0` is the one number that Go writes in a form that it reads as another: as the integer 0.
fn without_negative_zero(value: &Value) -> Value {
    match value {
        Value::Float(0.0) => Value::Float(0.0),
        Value::List(items, elem) => Value::List(items.iter().map(without_negative_zero).collect::<Vec<_>>().into(), *elem),
        Value::Map(entries, elem) => {
            let entries = entries.borrow();
            let pairs = entries.iter().map(|(key, value)| (key.clone(), without_negative_zero(value)));
            Value::Map(std::rc::Rc::new(std::cell::RefCell::new(pairs.collect())), *elem)
        }
        other => other.clone(),
    }
}
