//! Which fields transformers write to: kustomize's own and what `configurations` and `crds` add.

use std::{cmp::Ordering, rc::Rc};

use crate::{
    decode::{Dec, Mode},
    fail::{Context, Fail, Step},
    fieldspec::{FieldSpec, merge_all, merge_one},
    id::Gvk,
    parts::field_specs,
    yaml::Node,
};

/// What refers to a kind by name.
#[derive(Clone, Debug)]
pub(crate) struct References {
    pub(crate) gvk: Gvk,
    pub(crate) fields: Vec<FieldSpec>,
}

/// The fields of all transformers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) claim_labels: Vec<FieldSpec>,
    pub(crate) annotations: Vec<FieldSpec>,
    pub(crate) names: Vec<References>,
    pub(crate) vars: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
}

impl Rules {
    /// Returns kustomize's own rules in their order.
    pub(crate) fn built_in() -> Rc<Rules> {
        thread_local! {
            static RULES: Rc<Rules> = Rc::new({
                let mut rules = make_built_in();
                rules.sort();
                rules
            });
        }
        RULES.with(Rc::clone)
    }

    /// Returns these rules and others; the same rules twice are the same rules.
    pub(crate) fn merged(self: &Rc<Rules>, other: &Rc<Rules>) -> Step<Rc<Rules>> {
        if Rc::ptr_eq(self, other) {
            return Ok(self.clone());
        }
        let mut merged = Rules::clone(self);
        for (mine, theirs, name) in [
            (&mut merged.name_prefix, &other.name_prefix, "NamePrefix"),
            (&mut merged.name_suffix, &other.name_suffix, "NameSuffix"),
            (&mut merged.namespace, &other.namespace, "NameSpace"),
            (&mut merged.annotations, &other.annotations, "CommonAnnotations"),
            (&mut merged.common_labels, &other.common_labels, "CommonLabels"),
            (&mut merged.labels, &other.labels, "Labels"),
            (&mut merged.template_labels, &other.template_labels, "TemplateLabels"),
            (&mut merged.claim_labels, &other.claim_labels, "VolumeClaimTemplateLabels"),
            (&mut merged.vars, &other.vars, "VarReference"),
            (&mut merged.images, &other.images, "Images"),
            (&mut merged.replicas, &other.replicas, "Replicas"),
        ] {
            merge_all(mine, theirs).under(|| format!("failed to merge {name} fieldSpec"))?;
        }
        for references in &other.names {
            merged.add_reference(references).under(|| "failed to merge NameReference fieldSpec".to_owned())?;
        }
        merged.sort();
        Ok(Rc::new(merged))
    }

    pub(crate) fn add_reference(&mut self, new: &References) -> Step<()> {
        match self.names.iter_mut().find(|known| known.gvk == new.gvk) {
            Some(known) => merge_all(&mut known.fields, &new.fields),
            None => {
                self.names.push(new.clone());
                Ok(())
            }
        }
    }

    fn sort(&mut self) {
        for list in [
            &mut self.name_prefix,
            &mut self.name_suffix,
            &mut self.namespace,
            &mut self.annotations,
            &mut self.common_labels,
            &mut self.labels,
            &mut self.template_labels,
            &mut self.claim_labels,
            &mut self.vars,
            &mut self.images,
            &mut self.replicas,
        ] {
            list.sort_by(|a, b| order(&a.gvk, &b.gvk));
        }
        self.names.sort_by(|a, b| order(&a.gvk, &b.gvk));
    }

    /// Reads a file of `configurations`.
    pub(crate) fn read(&mut self, node: &Node) -> Step<()> {
        let fields = [
            "namePrefix",
            "nameSuffix",
            "namespace",
            "commonLabels",
            "labels",
            "templateLabels",
            "volumeClaimTemplateLabels",
            "commonAnnotations",
            "nameReference",
            "varReference",
            "images",
            "replicas",
        ];
        let dec = Dec::root(node, "", Mode::Lenient);
        dec.object("TransformerConfig", "builtinconfig.TransformerConfig", &fields, &mut |field, dec| {
            let list = match field {
                "namePrefix" => &mut self.name_prefix,
                "nameSuffix" => &mut self.name_suffix,
                "namespace" => &mut self.namespace,
                "commonLabels" => &mut self.common_labels,
                "labels" => &mut self.labels,
                "templateLabels" => &mut self.template_labels,
                "volumeClaimTemplateLabels" => &mut self.claim_labels,
                "commonAnnotations" => &mut self.annotations,
                "varReference" => &mut self.vars,
                "images" => &mut self.images,
                "replicas" => &mut self.replicas,
                _ => {
                    for dec in dec.list("builtinconfig.NameBackReferences")? {
                        self.names.push(references(&dec)?);
                    }
                    return Ok(());
                }
            };
            *list = field_specs(&dec)?;
            Ok(())
        })
    }
}

fn references(dec: &Dec<'_>) -> Step<References> {
    let mut read = References { gvk: Gvk::default(), fields: Vec::new() };
    let fields = ["group", "version", "kind", "fieldSpecs"];
    dec.object("NameBackReferences", "builtinconfig.NameBackReferences", &fields, &mut |field, dec| {
        match field {
            "group" => read.gvk.group = dec.text()?,
            "version" => read.gvk.version = dec.text()?,
            "kind" => read.gvk.kind = dec.text()?,
            _ => read.fields = field_specs(&dec)?,
        }
        Ok(())
    })?;
    Ok(read)
}

fn order(a: &Gvk, b: &Gvk) -> Ordering {
    a.rank().cmp(&b.rank())
}

/// Reads an OpenAPI document of custom types: which fields are names, labels and annotations.
pub(crate) fn of_types(document: &serde_json::Value) -> Step<Rules> {
    let mut rules = Rules::default();
    let Some(types) = document.as_object() else {
        return Err(Fail::said("json: cannot unmarshal into Go value of type accumulator.nameToApiMap"));
    };
    for (name, api) in types {
        let properties = &api["Schema"]["properties"];
        if !["kind", "apiVersion", "metadata"].iter().all(|field| properties.get(field).is_some()) {
            continue;
        }
        let kind = name.rsplit('.').next().unwrap_or_default().to_owned();
        let gvk = Gvk { kind, ..Gvk::default() };
        let mut found = Rules::default();
        of_type(&mut found, &gvk, types, name, &mut Vec::new())?;
        rules = Rules::clone(&*Rc::new(rules).merged(&Rc::new(found))?);
    }
    Ok(rules)
}

fn of_type(
    rules: &mut Rules,
    gvk: &Gvk,
    types: &serde_json::Map<String, serde_json::Value>,
    name: &str,
    path: &mut Vec<String>,
) -> Step<()> {
    let Some(properties) = types.get(name).and_then(|api| api["Schema"]["properties"].as_object()) else {
        return Ok(());
    };
    if path.len() > 64 {
        return Err(Fail::new(
            crate::fail::Cause::Limit,
            format!("types of crds refer to each other without end: {name}"),
        ));
    }
    for (field, property) in properties {
        let text = |key: &str| property.get(key).and_then(serde_json::Value::as_str);
        let spec = |more: &[&str]| {
            let parts = path.iter().map(String::as_str).chain([field.as_str()]).chain(more.iter().copied());
            FieldSpec::new(gvk.clone(), parts.collect::<Vec<_>>().join("/"), false)
        };
        if text("x-kubernetes-annotation").is_some() {
            merge_one(&mut rules.annotations, &spec(&[]))?;
        }
        if text("x-kubernetes-label-selector").is_some() {
            merge_one(&mut rules.common_labels, &spec(&[]))?;
        }
        if text("x-kubernetes-identity").is_some() {
            merge_one(&mut rules.name_prefix, &spec(&[]))?;
        }
        if let (Some(version), Some(kind)) =
            (text("x-kubernetes-object-ref-api-version"), text("x-kubernetes-object-ref-kind"))
        {
            let key = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
            let gvk = Gvk { group: String::new(), version: version.to_owned(), kind: kind.to_owned() };
            rules.add_reference(&References { gvk, fields: vec![spec(&[key])] })?;
        }
        if let Some(inner) = text("$ref") {
            path.push(field.clone());
            of_type(rules, gvk, types, inner, path)?;
            path.pop();
        }
    }
    Ok(())
}

fn make_built_in() -> Rules {
    let any = |path: &str| FieldSpec::any(path, false);
    let of = |group: &str, kind: &str, path: &str, create: bool| {
        let gvk = Gvk { group: group.to_owned(), version: String::new(), kind: kind.to_owned() };
        FieldSpec::new(gvk, path, create)
    };
    let v1 = |kind: &str, path: &str| {
        let gvk = Gvk { group: String::new(), version: "v1".to_owned(), kind: kind.to_owned() };
        FieldSpec::new(gvk, path, true)
    };
    let template = |what: &str, stateful: &str| {
        let path = format!("spec/template/metadata/{what}");
        vec![
            FieldSpec::any(&format!("metadata/{what}"), true),
            v1("ReplicationController", &path),
            of("", "Deployment", &path, true),
            of("", "ReplicaSet", &path, true),
            of("", "DaemonSet", &path, true),
            of(stateful, "StatefulSet", &path, true),
            of("batch", "Job", &path, true),
            of("batch", "CronJob", &format!("spec/jobTemplate/metadata/{what}"), true),
            of("batch", "CronJob", &format!("spec/jobTemplate/spec/template/metadata/{what}"), true),
        ]
    };
    let claims = vec![of("apps", "StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", true)];
    let mut common_labels = selectors(&of, &v1);
    common_labels.extend(template("labels", "apps"));
    common_labels.extend(claims.clone());
    let images = [
        "spec/containers[]/image",
        "spec/initContainers[]/image",
        "spec/volumes[]/image/reference",
        "spec/template/spec/containers[]/image",
        "spec/template/spec/initContainers[]/image",
        "spec/template/spec/volumes[]/image/reference",
        "spec/jobTemplate/spec/template/spec/volumes[]/image/reference",
    ];
    let replicated = ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"];
    let webhook = "spec/conversion/webhook/clientConfig/service/namespace";
    Rules {
        name_prefix: vec![any("metadata/name")],
        name_suffix: vec![any("metadata/name")],
        namespace: vec![
            of("", "Namespace", "metadata/name", true),
            of("apiregistration.k8s.io", "APIService", "spec/service/namespace", true),
            of("apiextensions.k8s.io", "CustomResourceDefinition", webhook, false),
        ],
        common_labels,
        labels: Vec::new(),
        template_labels: template("labels", "apps"),
        claim_labels: claims,
        annotations: template("annotations", ""),
        names: built_in_names(),
        vars: include_str!("references.vars").lines().filter_map(table_line).collect(),
        images: images.iter().map(|path| FieldSpec::any(path, true)).collect(),
        replicas: replicated.iter().map(|kind| of("", kind, "spec/replicas", true)).collect(),
    }
}

fn selectors(of: &dyn Fn(&str, &str, &str, bool) -> FieldSpec, v1: &dyn Fn(&str, &str) -> FieldSpec) -> Vec<FieldSpec> {
    let mut list = vec![v1("Service", "spec/selector"), v1("ReplicationController", "spec/selector")];
    let spread = |list: &mut Vec<FieldSpec>, kind: &str| {
        for affinity in ["podAffinity", "podAntiAffinity"] {
            let place = format!("spec/template/spec/affinity/{affinity}");
            let wanted = "preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels";
            let required = "requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels";
            list.push(of("apps", kind, &format!("{place}/{wanted}"), false));
            list.push(of("apps", kind, &format!("{place}/{required}"), false));
        }
        let place = "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels";
        list.push(of("apps", kind, place, false));
    };
    list.push(of("", "Deployment", "spec/selector/matchLabels", true));
    spread(&mut list, "Deployment");
    list.push(of("", "ReplicaSet", "spec/selector/matchLabels", true));
    list.push(of("", "DaemonSet", "spec/selector/matchLabels", true));
    list.push(of("apps", "StatefulSet", "spec/selector/matchLabels", true));
    spread(&mut list, "StatefulSet");
    list.push(of("batch", "Job", "spec/selector/matchLabels", false));
    list.push(of("batch", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false));
    list.push(of("policy", "PodDisruptionBudget", "spec/selector/matchLabels", false));
    for path in ["spec/podSelector", "spec/ingress/from/podSelector", "spec/egress/to/podSelector"] {
        list.push(of("networking.k8s.io", "NetworkPolicy", &format!("{path}/matchLabels"), false));
    }
    list
}

/// One line of a table: group, version and kind (`-` for none) and a path.
fn table_line(line: &str) -> Option<FieldSpec> {
    let mut parts = line.split_whitespace();
    let mut word = || parts.next().map(|word| if word == "-" { String::new() } else { word.to_owned() });
    let gvk = Gvk { group: word()?, version: word()?, kind: word()? };
    Some(FieldSpec::new(gvk, word()?, false))
}

fn built_in_names() -> Vec<References> {
    let mut names: Vec<References> = Vec::new();
    for line in include_str!("references.names").lines() {
        if let Some(head) = line.strip_prefix("= ") {
            let mut parts = head.split_whitespace().map(|word| if word == "-" { "" } else { word }.to_owned());
            let mut word = || parts.next().unwrap_or_default();
            let gvk = Gvk { group: word(), version: word(), kind: word() };
            names.push(References { gvk, fields: Vec::new() });
        } else if let (Some(last), Some(spec)) = (names.last_mut(), table_line(line)) {
            last.fields.push(spec);
        }
    }
    names
}
