//! Why a path is protected, in the words a person and the model are told.

use super::Access;

/// What makes a place special.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// State, configuration or runtime files of the host.
    OwnFiles,
    /// Device, process or system files.
    KernelInterface,
    /// A directory with the owner's home or the host's files below it.
    HoldsHome,
    /// Programs and settings of the operating system.
    System,
    /// Credentials of the owner, by their known places.
    OwnersCredentials,
    /// Files that are run or obeyed for the owner.
    ObeyedForOwner,
    /// Names that usually hold credentials, in a project.
    CredentialsByName,
    /// Inside `.git`.
    GitInternal,
    /// Files of a project that are run or obeyed without being asked for.
    Obeyed,
}

impl Concern {
    /// The reason, to follow the path and a colon.
    pub fn why(self) -> &'static str {
        match self {
            Self::OwnFiles => "it belongs to the host itself",
            Self::KernelInterface => "it is an interface of the kernel, not a file",
            Self::HoldsHome => "the home directory or the host's own files lie in it",
            Self::System => "it belongs to the operating system",
            Self::OwnersCredentials => "it holds the owner's credentials",
            Self::ObeyedForOwner => "programs run or obey it for the owner without asking",
            Self::CredentialsByName => "files of this name hold credentials",
            Self::GitInternal => "it is internal to git: use the git tools",
            Self::Obeyed => "programs run or obey this file without asking",
        }
    }

    /// The title of the question whether a file may be read, changed or deleted all the same.
    pub(crate) fn title(self, access: Access) -> &'static str {
        match (self, access) {
            (Self::OwnersCredentials | Self::CredentialsByName, Access::Read) => {
                "Read a file that may hold secrets?"
            }
            (Self::OwnersCredentials | Self::CredentialsByName, Access::Write) => {
                "Change a file that may hold secrets?"
            }
            (Self::Obeyed | Self::ObeyedForOwner, Access::Write) => {
                "Change a file that programs run or obey by themselves?"
            }
            (Self::Obeyed | Self::ObeyedForOwner, Access::Delete) => {
                "Delete a file that programs run or obey by themselves?"
            }
            (Self::System, Access::Write) => "Change a file of the operating system?",
            (Self::System, Access::Delete) => "Delete a file of the operating system?",
            (_, Access::Read) => "Read a protected file?",
            (_, Access::Write) => "Change a protected file?",
            (_, Access::Delete) => "Delete a protected file?",
        }
    }
}
