; driver.nsh: the driver, installed by its INF, stopped and removed again.
;
; Windows 10 1903 and later keep such a driver in the driver store: pnputil puts it there, and its name there (oemN.inf) is
; kept in our uninstall key. Older Windows, and a Windows that does not trust the certificate of a test build, run the
; INF's sections by setupapi, which is also what newer ones do when they are asked this way: given the decorated section,
; they hand a primitive driver over to the driver store themselves.
;
; The service's start type is the user's: an upgrade keeps what it finds. It is changed through the service manager, which
; would not see a change of the registry before Windows starts again.

!ifndef LKLFS_DRIVER
!define LKLFS_DRIVER

!define SERVICE "lklfs"
!define SERVICE_KEY "SYSTEM\CurrentControlSet\Services\${SERVICE}"
!define FIRST_WITH_PRIMITIVE_DRIVERS 18362
; ERROR_SUCCESS_REBOOT_REQUIRED, ERROR_NO_MORE_ITEMS (nothing newer to install).
!define REBOOT_REQUIRED 3010
!define NOTHING_NEWER 259
; Start types. 2: by the service manager, with the other services.
!define AUTO_START 2
!define DEMAND_START 3
; ERROR_SERVICE_ALREADY_RUNNING.
!define ALREADY_RUNNING 1056

; "1" if the driver ran and was stopped for this.
Var WasRunning

!macro DriverFunctions un
; Has the driver stopped by userctl, and waits up to 10 s. Out: $0 is "absent", "stopped" or "running".
Function ${un}StopDriver
  StrCpy $0 "absent"
  StrCpy $WasRunning 0
  ; SC_MANAGER_CONNECT; SERVICE_QUERY_STATUS.
  System::Call 'advapi32::OpenSCManagerW(p 0, p 0, i 1) p .r1'
  ${If} $1 == 0
    Return
  ${EndIf}
  System::Call 'advapi32::OpenServiceW(p r1, w "${SERVICE}", i 4) p .r2'
  ${If} $2 != 0
    ; SERVICE_STATUS: seven numbers, the second is the state.
    System::Alloc 28
    Pop $3
    System::Call 'advapi32::QueryServiceStatus(p r2, p r3) i .r4'
    System::Call '*$3(i, i .r5)'
    ${If} $5 = 1
      StrCpy $0 "stopped"
    ${Else}
      DetailPrint "Stopping the driver"
      StrCpy $0 "running"
      ; Windows unloads a file system only when it has let go of everything, which userctl asks of it. If it cannot, it serves on
      ; until Windows is restarted: stopping the service all the same would shut its devices and leave it loaded.
      ${If} ${FileExists} "$INSTDIR\userctl.exe"
        nsExec::ExecToStack '"$INSTDIR\userctl.exe" stop --force'
        Pop $7
        Pop $8
        ${If} $7 != 0
          DetailPrint "userctl stop: $7: $8"
        ${EndIf}
      ${Else}
        StrCpy $7 1
      ${EndIf}
      ${If} $7 == 0
        ${For} $6 1 40
          System::Call 'advapi32::QueryServiceStatus(p r2, p r3) i .r4'
          System::Call '*$3(i, i .r5)'
          ${If} $5 = 1
            StrCpy $0 "stopped"
            StrCpy $WasRunning 1
            ${ExitFor}
          ${EndIf}
          Sleep 250
        ${Next}
      ${EndIf}
    ${EndIf}
    System::Free $3
    System::Call 'advapi32::CloseServiceHandle(p r2)'
  ${EndIf}
  System::Call 'advapi32::CloseServiceHandle(p r1)'
FunctionEnd

; Deletes the service, whatever else has failed to.
Function ${un}DeleteService
  System::Call 'advapi32::OpenSCManagerW(p 0, p 0, i 1) p .r1'
  ${If} $1 != 0
    ; DELETE.
    System::Call 'advapi32::OpenServiceW(p r1, w "${SERVICE}", i 0x10000) p .r2'
    ${If} $2 != 0
      System::Call 'advapi32::DeleteService(p r2) i .r3'
      System::Call 'advapi32::CloseServiceHandle(p r2)'
    ${EndIf}
    System::Call 'advapi32::CloseServiceHandle(p r1)'
  ${EndIf}
FunctionEnd

; Out: $0 is 1 if Windows knows the service as a file-system driver.
Function ${un}HasService
  StrCpy $0 0
  ClearErrors
  ReadRegDWORD $1 HKLM "${SERVICE_KEY}" "Type"
  ${IfNot} ${Errors}
  ${AndIf} $1 = 2
    StrCpy $0 1
  ${EndIf}
FunctionEnd

; Removes the driver: from the driver store if it is there, by its INF, and at last by hand.
Function ${un}RemoveDriver
  ReadRegStr $2 HKLM "${UNINSTALL_KEY}" "DriverPackage"
  ${If} $2 != ""
    DetailPrint "Removing $2 from the driver store"
    nsExec::ExecToStack '"$SYSDIR\pnputil.exe" /delete-driver $2 /uninstall'
    Pop $3
    Pop $4
    ${If} $3 == ${REBOOT_REQUIRED}
      SetRebootFlag true
    ${ElseIf} $3 != 0
      DetailPrint "pnputil: $3: $4"
    ${EndIf}
  ${EndIf}
  Call ${un}HasService
  ${If} $0 = 1
    DetailPrint "Removing the driver by its INF"
    ExecWait '"$SYSDIR\rundll32.exe" setupapi.dll,InstallHinfSection DefaultUninstall.NTamd64 128 $INSTDIR\driver\lklfs.inf' $3
  ${EndIf}
  Call ${un}HasService
  ${If} $0 = 1
    Call ${un}DeleteService
  ${EndIf}
  ; Of a driver that did not stop, the file stays until Windows starts again.
  Delete /REBOOTOK "$SYSDIR\drivers\lklfs.sys"
FunctionEnd
!macroend

!insertmacro DriverFunctions ""
!insertmacro DriverFunctions "un."

; In: $1 what pnputil printed, in whatever language. Out: $2 the last oemN.inf in it, or nothing.
Function PublishedName
  StrCpy $2 ""
  StrCpy $3 0
  ${Do}
    StrCpy $4 $1 3 $3
    ${If} $4 == ""
      ${ExitDo}
    ${EndIf}
    ${If} $4 == "oem"
      ${For} $5 4 8
        IntOp $6 $3 + $5
        StrCpy $7 $1 4 $6
        ${If} $7 == ".inf"
          IntOp $5 $5 + 4
          StrCpy $2 $1 $5 $3
          ${ExitFor}
        ${EndIf}
      ${Next}
    ${EndIf}
    IntOp $3 $3 + 1
  ${Loop}
FunctionEnd

; Installs the driver from $INSTDIR\driver. Out: $0 is 1 if it is there afterwards.
Function InstallDriver
  Call StartType
  StrCpy $R0 $0
  ReadRegStr $R1 HKLM "${UNINSTALL_KEY}" "DriverPackage"
  StrCpy $R2 ""
  StrCpy $R3 0
  ${If} ${AtLeastBuild} ${FIRST_WITH_PRIMITIVE_DRIVERS}
  ${AndIf} ${FileExists} "$SYSDIR\pnputil.exe"
    DetailPrint "Adding the driver to the driver store"
    nsExec::ExecToStack '"$SYSDIR\pnputil.exe" /add-driver "$INSTDIR\driver\lklfs.inf" /install'
    Pop $R4
    Pop $1
    DetailPrint "pnputil: $R4: $1"
    ${If} $R4 == 0
    ${OrIf} $R4 == ${REBOOT_REQUIRED}
    ${OrIf} $R4 == ${NOTHING_NEWER}
      Call PublishedName
      StrCpy $R2 $2
      StrCpy $R3 1
    ${EndIf}
    ${If} $R4 == ${REBOOT_REQUIRED}
      SetRebootFlag true
    ${EndIf}
  ${EndIf}
  Call HasService
  ${If} $R3 = 0
  ${OrIf} $0 = 0
    DetailPrint "Installing the driver by its INF"
    ; 128: files are beside the INF; nothing is asked and Windows is not started again.
    ExecWait '"$SYSDIR\rundll32.exe" setupapi.dll,InstallHinfSection DefaultInstall.NTamd64 128 $INSTDIR\driver\lklfs.inf' $3
  ${EndIf}
  ${If} $R2 != ""
    WriteRegStr HKLM "${UNINSTALL_KEY}" "DriverPackage" "$R2"
    ${If} $R1 != ""
    ${AndIf} $R1 != $R2
      ; The version before this one. The new one is in use by now.
      nsExec::ExecToStack '"$SYSDIR\pnputil.exe" /delete-driver $R1'
      Pop $3
      Pop $4
      DetailPrint "pnputil: $R1: $3"
    ${EndIf}
  ${EndIf}
  Call HasService
  ${If} $0 = 1
    ${If} $R0 != ""
      StrCpy $0 $R0
      Call SetStartType
    ${EndIf}
    StrCpy $0 0
    ${If} ${FileExists} "$SYSDIR\drivers\lklfs.sys"
      StrCpy $0 1
    ${EndIf}
  ${EndIf}
FunctionEnd

; Out: $0 is the service's start type, or nothing.
Function StartType
  ClearErrors
  ReadRegDWORD $0 HKLM "${SERVICE_KEY}" "Start"
  ${If} ${Errors}
    StrCpy $0 ""
  ${EndIf}
FunctionEnd

; In: $0 the start type. Sets it, and takes the service out of every group: see lklfs.inf on safe mode.
Function SetStartType
  System::Call 'advapi32::OpenSCManagerW(p 0, p 0, i 1) p .r1'
  ; SERVICE_CHANGE_CONFIG.
  System::Call 'advapi32::OpenServiceW(p r1, w "${SERVICE}", i 2) p .r2'
  ; -1 and nulls: as it is.
  System::Call 'advapi32::ChangeServiceConfigW(p r2, i -1, i r0, i -1, p 0, w "", p 0, p 0, p 0, p 0, p 0) i .r3 ?e'
  Pop $4
  ${If} $3 = 0
    DetailPrint "The driver's start type stays as it is: error $4"
  ${EndIf}
  System::Call 'advapi32::CloseServiceHandle(p r2)'
  System::Call 'advapi32::CloseServiceHandle(p r1)'
FunctionEnd

; Starts the driver. That it does not start is told and no failure: a test build's needs test signing.
Function StartDriver
  System::Call 'advapi32::OpenSCManagerW(p 0, p 0, i 1) p .r1'
  ; SERVICE_START.
  System::Call 'advapi32::OpenServiceW(p r1, w "${SERVICE}", i 0x10) p .r2'
  System::Call 'advapi32::StartServiceW(p r2, i 0, p 0) i .r3 ?e'
  Pop $4
  ${If} $3 = 0
  ${AndIf} $4 != ${ALREADY_RUNNING}
    DetailPrint "The driver does not start now: error $4"
  ${EndIf}
  System::Call 'advapi32::CloseServiceHandle(p r2)'
  System::Call 'advapi32::CloseServiceHandle(p r1)'
FunctionEnd

!endif
