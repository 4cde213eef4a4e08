//! Precedence, refusals and their words.

use super::{Config, ConfigSources, ResumePolicy};

fn load(file: &str, env: &[(&str, &str)], sources: ConfigSources) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), file).unwrap();
    let env: Vec<_> = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let sources = ConfigSources { state_dir: Some(dir.path().to_owned()), ..sources };
    Config::from_parts(sources, &env).map_err(|e| e.to_string())
}

#[test]
fn flags_beat_environment_beats_file() {
    let file = "[host]\nname = \"file\"\nlisten = \"127.0.0.1:1\"\nresume = \"ask\"\n[model]\nname = \"a\"";
    let env = [("LANYARD_HOST_NAME", "env"), ("LANYARD_LISTEN", "127.0.0.1:2")];
    let sources = ConfigSources { listen: Some("127.0.0.1:3".parse().unwrap()), ..ConfigSources::default() };
    let config = load(file, &env, sources).unwrap();
    assert_eq!(config.host_name, "env");
    assert_eq!(config.listen, "127.0.0.1:3".parse().unwrap());
    assert_eq!(config.resume, ResumePolicy::Ask);
    assert_eq!(config.model.model.as_deref(), Some("a"));
}

#[test]
fn unknown_keys_and_variables_fail_and_are_named() {
    let unknown = load("[policy]\nsandbox_reed = []", &[], ConfigSources::default()).unwrap_err();
    assert!(unknown.contains("sandbox_reed"), "{unknown}");
    let table = load("[polices]\n", &[], ConfigSources::default()).unwrap_err();
    assert!(table.contains("polices"), "{table}");
    let variable = load("", &[("LANYARD_GATEWAY_URI", "x")], ConfigSources::default()).unwrap_err();
    assert!(variable.contains("LANYARD_GATEWAY_URI"), "{variable}");
}

#[test]
fn a_token_never_follows_to_another_endpoint() {
    let file = "[model]\nendpoint = \"https://a.example\"\ntoken = \"secret\"";
    let config =
        load(file, &[("LANYARD_GATEWAY_URL", "https://b.example")], ConfigSources::default()).unwrap();
    assert_eq!(config.model.token, None);
    assert!(config.model.from_environment);
    let alone = load("[model]\ntoken = \"secret\"", &[], ConfigSources::default()).unwrap_err();
    assert!(alone.contains("model.endpoint"), "{alone}");
}

#[test]
fn a_missing_workspace_is_named_with_the_way_out() {
    let sources = ConfigSources { workspaces: vec!["/no/such/place".into()], ..ConfigSources::default() };
    let error = load("", &[], sources).unwrap_err();
    assert!(error.contains("/no/such/place") && error.contains("create it"), "{error}");
}

#[test]
fn a_configuration_that_others_could_write_is_not_read() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "[host]\nname = \"x\"").unwrap();
    let sources = || ConfigSources { state_dir: Some(dir.path().to_owned()), ..ConfigSources::default() };
    for (path, mode) in [(file.as_path(), 0o666), (dir.path(), 0o777)] {
        let before = std::fs::metadata(path).unwrap().permissions();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Config::from_parts(sources(), &[]).unwrap_err().to_string();
        assert!(error.contains("can be written by others") && error.contains("chmod"), "{error}");
        std::fs::set_permissions(path, before).unwrap();
    }
    assert_eq!(Config::from_parts(sources(), &[]).unwrap().host_name, "x");
}

#[test]
fn a_token_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let file = format!("[model]\nendpoint = \"https://a.example\"\ntoken_file = {token:?}");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = load(&file, &[], ConfigSources::default()).unwrap_err();
    assert!(error.contains("read by others") && error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(load(&file, &[], ConfigSources::default()).unwrap().model.token.as_deref(), Some("secret"));
}

#[test]
fn jobs_at_once_are_bounded() {
    let loaded = |file: &str| load(file, &[], ConfigSources::default());
    assert_eq!(loaded("").unwrap().central_jobs, 4);
    assert_eq!(loaded("[central]\njobs = 16\n").unwrap().central_jobs, 16);
    for wrong in ["[central]\njobs = 0\n", "[central]\njobs = 17\n"] {
        assert!(loaded(wrong).unwrap_err().contains("central.jobs"), "{wrong}");
    }
}

#[test]
fn a_configuration_that_cannot_be_looked_at_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("config.toml")).unwrap();
    let sources = ConfigSources { state_dir: Some(dir.path().to_owned()), ..ConfigSources::default() };
    let error = Config::from_parts(sources, &[]).unwrap_err().to_string();
    assert!(error.contains("config.toml"), "{error}");
}

#[test]
fn the_network_side_is_on_by_default_and_can_be_switched_off() {
    let config = load("", &[], ConfigSources::default()).unwrap();
    assert_eq!(config.listen.address(), Some("[::]:7717".parse().unwrap()));
    assert!(config.discovery);
    let off = load("[host]\nlisten = \"off\"\n[discovery]\nenabled = false", &[], ConfigSources::default())
        .unwrap();
    assert_eq!(off.listen.address(), None);
    assert!(!off.discovery);
    let wrong = load("", &[("LANYARD_LISTEN", "everywhere")], ConfigSources::default()).unwrap_err();
    assert!(wrong.contains("LANYARD_LISTEN") && wrong.contains("off"), "{wrong}");
}
