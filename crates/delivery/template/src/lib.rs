//! `kind: Template`: objects with `${PARAMETER}` in them, and the parameters.
//!
//! The form is OpenShift's (`template.openshift.io/v1`, `oc process`), under the
//! `apiVersion: v1` that platforms' documents give it as well. `${NAME}` is text within
//! text; `${{NAME}}` is a whole value of whatever type it reads as. Text that stands where
//! Kubernetes has a number or a truth becomes one, so that `replicas: ${REPLICAS}` works.
//!
//! Values in, values out: what is generated comes from the caller's randomness.

mod expression;
mod substitute;
mod typed;

use std::collections::BTreeMap;

use base::fault::{Class, Fault};
use gotmpl::{Value, World, yaml};
use serde_json::{Map, Value as Json, json};

/// Most bytes that a processed template may have.
const LARGEST: usize = 64 << 20;

/// A template as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What it makes: its annotation `description`.
    pub description: String,
    /// What it asks for.
    pub parameters: Vec<Parameter>,
    /// Labels for every object.
    pub labels: BTreeMap<String, String>,
    /// What is told to whoever processed it.
    pub message: Option<String>,
    objects: Vec<Json>,
}

/// What a template asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// Its value where none is given.
    pub value: String,
    /// The expression that a value is generated from where there is none.
    pub from: Option<String>,
    /// It may not stay empty.
    pub required: bool,
}

/// What came of a template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Processed {
    /// The objects, in the template's order.
    pub objects: Vec<Json>,
    /// What is told to whoever processed it.
    pub message: Option<String>,
    /// Every parameter with the value that it had, those that were generated too.
    pub values: BTreeMap<String, String>,
}

impl Processed {
    /// Returns the objects as one `List`.
    pub fn list(&self) -> Json {
        json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": self.objects})
    }
}

/// What a parameter that the template does not know means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is a mistake.
    Refused,
    /// It is left aside.
    Ignored,
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no template.
    #[error("the template cannot be read: {reason}")]
    Read {
        /// Where and why.
        reason: String,
    },
    /// A parameter is missing or unknown.
    #[error("{reason}")]
    Parameters {
        /// Every mistake.
        reason: String,
    },
    /// Parameters make something of it that cannot be.
    #[error("{place}: {reason}")]
    Substitute {
        /// The field: `objects[1].spec.replicas`.
        place: String,
        /// What is wrong there.
        reason: String,
    },
}

impl Fault for Error {
    fn class(&self) -> Class {
        Class::Stalled
    }

    fn code(&self) -> &'static str {
        match self {
            Error::Read { .. } => "TPL0001",
            Error::Parameters { .. } => "TPL0002",
            Error::Substitute { .. } => "TPL0003",
        }
    }
}

/// Fields that a template may have.
const FIELDS: &[&str] = &["apiVersion", "kind", "metadata", "objects", "parameters", "labels", "message"];
/// Fields that a parameter may have.
const PARAMETER: &[&str] = &["name", "displayName", "description", "value", "generate", "from", "required"];

impl Template {
    /// Reads YAML or JSON.
    pub fn read(text: &str) -> Result<Self, Error> {
        let fail = |reason: String| Error::Read { reason };
        let read = yaml::read(text).map_err(|error| fail(error.to_string()))?;
        if !matches!(read, Value::Map(..)) {
            return Err(fail("it is no object; a template begins with apiVersion and kind".to_owned()));
        }
        Self::from_json(&read.to_json())
    }

    /// Takes a template that was read already.
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        let fail = |reason: String| Error::Read { reason };
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&json["apiVersion"]), text(&json["kind"]));
        if kind != "Template" || !matches!(version.as_str(), "v1" | "template.openshift.io/v1") {
            let given = format!("{version}/{kind}");
            return Err(fail(format!(
                "it is {given:?}; a template is kind Template of v1 or template.openshift.io/v1"
            )));
        }
        known(json, FIELDS, "the template")?;
        let list = |name: &str| match &json[name] {
            Json::Null => Ok(Vec::new()),
            Json::Array(items) => Ok(items.clone()),
            _ => Err(fail(format!("{name}: it is no list"))),
        };
        let mut parameters = Vec::new();
        for (index, item) in list("parameters")?.iter().enumerate() {
            parameters.push(parameter(item, &format!("parameters[{index}]"))?);
        }
        for (index, parameter) in parameters.iter().enumerate() {
            if parameters[..index].iter().any(|earlier: &Parameter| earlier.name == parameter.name) {
                return Err(fail(format!("parameters[{index}].name: {:?} is there already", parameter.name)));
            }
        }
        let objects = list("objects")?;
        for (index, object) in objects.iter().enumerate() {
            if !object.is_object() {
                return Err(fail(format!("objects[{index}]: it is no object")));
            }
        }
        let labels = json["labels"].as_object().into_iter().flatten();
        Ok(Self {
            name: text(&json["metadata"]["name"]),
            description: text(&json["metadata"]["annotations"]["description"]),
            parameters,
            labels: labels.map(|(key, value)| (key.clone(), plain(value))).collect(),
            message: json["message"].as_str().map(str::to_owned),
            objects,
        })
    }

    /// Puts values in place of parameters.
    ///
    /// Every parameter that is missing or unknown is told at once. Values that are generated come from `world`.
    pub fn process(
        &self,
        given: &BTreeMap<String, String>,
        unknown: Unknown,
        world: &World,
    ) -> Result<Processed, Error> {
        let values = self.values(given, unknown, world)?;
        let mut processed = Processed { values, ..Processed::default() };
        let mut size = 0;
        for (index, object) in self.objects.iter().enumerate() {
            let mut object = substitute::walk(object, &processed.values, &format!("objects[{index}]"), &mut size)?;
            self.label(&mut object, &processed.values);
            typed::settle(&mut object, &format!("objects[{index}]"))?;
            processed.objects.push(object);
        }
        processed.message = self.message.as_ref().map(|text| substitute::text(text, &processed.values));
        Ok(processed)
    }

    fn values(
        &self,
        given: &BTreeMap<String, String>,
        unknown: Unknown,
        world: &World,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut mistakes = Vec::new();
        if unknown == Unknown::Refused {
            for name in given.keys().filter(|name| !self.parameters.iter().any(|known| known.name == **name)) {
                let known: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                mistakes.push(format!("unknown parameter name {name:?}: the template has {}", known.join(", ")));
            }
        }
        let mut values = BTreeMap::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let mut value = given.get(&parameter.name).unwrap_or(&parameter.value).clone();
            if let (true, Some(from)) = (value.is_empty(), &parameter.from) {
                value = expression::generate(from, world).map_err(|reason| Error::Parameters {
                    reason: format!("template.parameters[{index}].from: {reason}"),
                })?;
            }
            if value.is_empty() && parameter.required {
                let (name, what) = (&parameter.name, &parameter.description);
                let what = if what.is_empty() { String::new() } else { format!(" ({what})") };
                mistakes.push(format!(
                    "template.parameters[{index}]: Required value: parameter {name} is required and must be \
                     specified{what}"
                ));
            }
            values.insert(parameter.name.clone(), value);
        }
        if mistakes.is_empty() { Ok(values) } else { Err(Error::Parameters { reason: mistakes.join("\n") }) }
    }

    fn label(&self, object: &mut Json, values: &BTreeMap<String, String>) {
        if self.labels.is_empty() {
            return;
        }
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Json::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else { return };
        let labels = metadata.entry("labels").or_insert_with(|| Json::Object(Map::new()));
        if let Some(labels) = labels.as_object_mut() {
            for (key, value) in &self.labels {
                labels.insert(substitute::text(key, values), Json::String(substitute::text(value, values)));
            }
        }
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn known(json: &Json, fields: &[&str], what: &str) -> Result<(), Error> {
    let odd = json.as_object().into_iter().flatten().find(|(name, _)| !fields.contains(&name.as_str()));
    match odd {
        None => Ok(()),
        Some((name, _)) => Err(Error::Read { reason: format!("{what} has no field {name:?}") }),
    }
}

fn parameter(json: &Json, place: &str) -> Result<Parameter, Error> {
    let fail = |reason: String| Error::Read { reason: format!("{place}{reason}") };
    if !json.is_object() {
        return Err(fail(": it is no object".to_owned()));
    }
    known(json, PARAMETER, place)?;
    let text = |name: &str| match &json[name] {
        Json::Null => String::new(),
        value => plain(value),
    };
    let name = text("name");
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(fail(format!(".name: {name:?} is none: letters, digits and underscores make one")));
    }
    let from = match (text("generate").as_str(), text("from")) {
        ("", _) => None,
        ("expression", from) if !from.is_empty() => Some(from),
        ("expression", _) => return Err(fail(".from: an expression is needed to generate from".to_owned())),
        (other, _) => return Err(fail(format!(".generate: {other:?} is not known; there is \"expression\""))),
    };
    Ok(Parameter {
        name,
        display_name: text("displayName"),
        description: text("description"),
        value: text("value"),
        from,
        required: json["required"] == true,
    })
}
