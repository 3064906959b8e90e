//! What was gathered of a kustomization so far.

use std::{collections::BTreeMap, rc::Rc};

use crate::{fail::Step, parts::Var, resmap::ResMap, rules::Rules, vars};

/// Resources and the rules for them, so far.
#[derive(Clone)]
pub(crate) struct Gathered {
    pub(crate) map: ResMap,
    pub(crate) rules: Rc<Rules>,
    pub(crate) vars: BTreeMap<String, Var>,
}

/// Returns rules with more of them.
pub(crate) fn joined(known: &Rc<Rules>, more: &Rc<Rules>) -> Step<Rc<Rules>> {
    let nothing = known.names.is_empty() && known.name_prefix.is_empty() && known.common_labels.is_empty();
    if nothing && Rc::ptr_eq(more, &Rules::built_in()) {
        return Ok(more.clone());
    }
    known.merged(more)
}

/// Adds what a base came to.
pub(crate) fn merge(mut gathered: Gathered, more: Gathered) -> Step<Gathered> {
    if gathered.map.list().is_empty() && gathered.vars.is_empty() {
        gathered.map = more.map;
    } else {
        gathered.map.append_all(more.map.into_list())?;
    }
    gathered.rules = joined(&gathered.rules, &more.rules)?;
    vars::add(&mut gathered.vars, more.vars.into_values())?;
    Ok(gathered)
}
