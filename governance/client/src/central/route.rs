//! Addresses of calls: parameters and queries that cannot turn into something else.

use lanyard_governance_api::id::AgentId;
use lanyard_protocol::codec;
use serde::Serialize;
use serde_json::Value;
use url::Url;

/// The address of one call.
///
/// # Errors
/// In words: a parameter is missing or is no plain segment, or the query is not flat.
pub(super) fn url(
    origin: &Url,
    template: &str,
    params: &[(&str, &str)],
    agent: &AgentId,
    query: &impl Serialize,
) -> Result<Url, String> {
    let mut url = origin.clone();
    {
        let mut path =
            url.path_segments_mut().map_err(|()| "the centre's address takes no path".to_owned())?;
        path.clear();
        for part in template.split('/').filter(|part| !part.is_empty()) {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                path.push(part);
                continue;
            };
            let given = params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            let value = match given {
                None if name == "agent_id" => agent.as_str(),
                None => return Err(format!("the path needs {name}")),
                Some(value) => value,
            };
            // What is pushed is escaped, but these two are dropped, and the path would name something else.
            if matches!(value, "" | "." | "..") {
                return Err(format!("{value:?} is no {name}"));
            }
            path.push(value);
        }
    }
    let Value::Object(members) = codec::to_json_value(query).map_err(|error| error.to_string())? else {
        return Err("the query is no object".to_owned());
    };
    if !members.is_empty() {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in &members {
            match value {
                Value::Null => {}
                Value::String(text) => drop(pairs.append_pair(name, text)),
                Value::Bool(_) | Value::Number(_) => drop(pairs.append_pair(name, &value.to_string())),
                Value::Array(_) | Value::Object(_) => return Err(format!("the query's {name} is not flat")),
            }
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use lanyard_governance_api::command::CommandQuery;
    use lanyard_governance_api::page::{Nothing, PageQuery};
    use serde_json::json;

    use super::*;

    fn made(template: &str, params: &[(&str, &str)], query: &impl Serialize) -> Result<String, String> {
        let origin = Url::parse("https://central.example:8443").unwrap();
        let agent = AgentId::new("agent-1").unwrap();
        url(&origin, template, params, &agent, query).map(|url| url.to_string())
    }

    #[test]
    fn paths_and_queries_are_filled_in() {
        let nothing = Nothing {};
        assert_eq!(made("/sessions", &[], &nothing).unwrap(), "https://central.example:8443/sessions");
        let query = CommandQuery { after: Some(7), wait_seconds: None };
        assert_eq!(
            made("/agents/{agent_id}/commands", &[], &query).unwrap(),
            "https://central.example:8443/agents/agent-1/commands?after=7"
        );
        let params = [("session_id", "s:1"), ("task_id", "t")];
        assert_eq!(
            made("/sessions/{session_id}/tasks/{task_id}/complete", &params, &nothing).unwrap(),
            "https://central.example:8443/sessions/s:1/tasks/t/complete"
        );
        let query = PageQuery { limit: Some(3), next_token: Some("a b&c=d".to_owned()) };
        let made = made("/x", &[], &query).unwrap();
        assert_eq!(made, "https://central.example:8443/x?limit=3&nextToken=a+b%26c%3Dd");
    }

    #[test]
    fn no_parameter_leaves_its_segment() {
        let nothing = Nothing {};
        for value in ["", ".", ".."] {
            assert!(made("/sessions/{session_id}", &[("session_id", value)], &nothing).is_err(), "{value:?}");
        }
        for value in ["a/b", "../x", "a?b", "a#b", "%2e%2e", "a\\b"] {
            let url = Url::parse(&made("/a/{id}/b", &[("id", value)], &nothing).unwrap()).unwrap();
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            assert_eq!((segments.len(), segments[0], segments[2]), (3, "a", "b"), "{url}");
            assert!(url.query().is_none() && url.fragment().is_none(), "{url}");
        }
        assert!(made("/sessions/{session_id}", &[], &nothing).is_err());
        assert!(made("/x", &[], &json!({"a": [1]})).is_err());
        assert!(made("/x", &[], &json!(1)).is_err());
    }
}
