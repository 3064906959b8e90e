//! What the platform ships for delivery: the golden chart and the templates of new repositories.

use std::collections::BTreeMap;

/// A file by its path.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../../content/", $folder, "/", $path))),)*]
    };
}

const CHART: &[File] = files!("charts/microservice":
    "Chart.yaml" "README.md" "values.yaml" "values-dev.yaml" "values-staging.yaml" "values-prod.yaml" "values.schema.json"
    "templates/_helpers.tpl" "templates/_refusals.tpl" "templates/deployment.yaml" "templates/service.yaml"
    "templates/serviceaccount.yaml" "templates/configmap.yaml" "templates/secret.yaml" "templates/externalsecret.yaml"
    "templates/ingress.yaml" "templates/httproute.yaml" "templates/virtualservice.yaml" "templates/destinationrule.yaml"
    "templates/hpa.yaml" "templates/pdb.yaml" "templates/networkpolicy.yaml" "templates/servicemonitor.yaml"
    "templates/tests/answers.yaml" "templates/NOTES.txt");

const MICROSERVICE: &[File] = files!("templates/microservice": "values.yaml" "README.md" ".gitignore");

/// What a new service's repository is made from.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// What it makes, in a sentence.
    pub description: &'static str,
    files: &'static [File],
}

/// What fills a template's places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) name: String,
    pub(crate) environment: String,
    pub(crate) host: String,
    pub(crate) image_repository: String,
    pub(crate) image_tag: String,
}

const TEMPLATES: &[Template] = &[Template {
    name: "microservice",
    description: "An HTTP service behind the gateway, with probes, limits and a route of its own.",
    files: MICROSERVICE,
}];

/// Templates that make objects: name and text. What `IMAGE` stands for is the sample's image.
const DEPLOYABLE: &[File] = &[
    ("environment", include_str!("../../../../content/templates/environment.yaml")),
    ("service", include_str!("../../../../content/templates/service.yaml")),
];
const IMAGE: &str = "{{image}}";

/// Returns the templates that make objects, by name.
pub(crate) fn deployable(sample_image: &str) -> impl Iterator<Item = (&'static str, String)> {
    DEPLOYABLE.iter().map(move |(name, text)| (*name, text.replace(IMAGE, sample_image)))
}

/// Returns the templates of repositories, by name.
pub fn templates() -> &'static [Template] {
    TEMPLATES
}

/// Returns the template of that name.
pub(crate) fn template(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

impl Template {
    /// Returns the files of a new repository.
    pub(crate) fn files(&self, fill: &Fill) -> BTreeMap<String, Vec<u8>> {
        let places = [
            ("{{name}}", &fill.name),
            ("{{environment}}", &fill.environment),
            ("{{host}}", &fill.host),
            ("{{image.repository}}", &fill.image_repository),
            ("{{image.tag}}", &fill.image_tag),
        ];
        self.files
            .iter()
            .map(|(path, text)| {
                let filled = places.iter().fold((*text).to_owned(), |text, (place, value)| text.replace(place, value));
                ((*path).to_owned(), filled.into_bytes())
            })
            .collect()
    }
}

/// Returns the files of the repository `charts`: each chart in a folder of its name.
pub(crate) fn charts() -> BTreeMap<String, Vec<u8>> {
    CHART.iter().map(|(path, text)| (format!("microservice/{path}"), text.as_bytes().to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_template_is_filled() {
        let fill = Fill {
            name: "orders".into(),
            environment: "development".into(),
            host: "orders.dev.localhost".into(),
            image_repository: "registry.cluster.local/sample".into(),
            image_tag: "1".into(),
        };
        for template in templates() {
            for (path, bytes) in template.files(&fill) {
                let text = String::from_utf8(bytes).unwrap();
                assert!(!text.contains("{{"), "{path} of {} has an unfilled place", template.name);
            }
        }
    }

    #[test]
    fn every_template_that_makes_objects_is_shipped_and_can_be_processed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../content/templates");
        let files = std::fs::read_dir(folder).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count();
        assert_eq!(files, deployable("").count());
        let image = "registry.example/some/image:9";
        for (name, text) in deployable(image) {
            let template = template::Template::read(&text).unwrap();
            assert!(template.name == name && !template.description.is_empty(), "{name}");
            let required = template.parameters.iter().filter(|one| one.required);
            let given = required.map(|one| (one.name.clone(), "w7".to_owned())).collect();
            let processed = template.process(&given, template::Unknown::Refused, &gotmpl::World::still()).unwrap();
            let shown = processed.list().to_string();
            assert!(!shown.contains("${") && !shown.contains("{{"), "{shown}");
            assert_eq!(shown.contains(image), name == "service", "{shown}");
        }
    }

    #[test]
    fn the_golden_chart_is_shipped_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../content/charts/microservice");
        let count = |folder: &std::path::Path| {
            std::fs::read_dir(folder).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count()
        };
        let templates = folder.join("templates");
        assert_eq!(count(&folder) + count(&templates) + count(&templates.join("tests")), charts().len());
    }
}
